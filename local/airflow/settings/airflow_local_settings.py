"""What every Airflow process does at start-up beside the emulators: all that config/ does, and one patch.

Airflow imports the first ``airflow_local_settings`` on ``PYTHONPATH``. The local stack puts this folder there instead
of ``config/``, and docker-compose.yaml does the same while it uses the emulators.

The patch: BigQuery's client reads large results through the Storage API if it can, and through REST otherwise.
``BIGQUERY_EMULATOR_HOST`` redirects only its REST calls; the Storage API would still call Google. Without a Storage API
client it uses REST. The patch can go when the emulator has a Storage API and the client can be pointed at it.
"""

import runpy
from pathlib import Path

from google.cloud.bigquery import Client

_CONFIG = Path(__file__).resolve().parents[3] / "config" / "airflow_local_settings.py"

_shared = runpy.run_path(str(_CONFIG))
# Airflow takes over the names in __all__: the same ones as from config/.
__all__ = list(_shared["__all__"])
globals().update({name: _shared[name] for name in __all__})

Client._ensure_bqstorage_client = lambda self, *args, **kwargs: None  # type: ignore[method-assign]
