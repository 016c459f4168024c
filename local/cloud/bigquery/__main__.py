"""``python -m local.cloud.bigquery``."""

import logging
import sys

from bqemulator.config import LogFormat, LogLevel
from bqemulator.observability.logging_ import configure_logging

# Before the import of bqemulator's other modules, which log at import.
configure_logging(level=LogLevel.WARNING, fmt=LogFormat.CONSOLE)
# sqlglot warns about each statement that it cannot parse; this package handles those itself.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

from local.cloud.bigquery.server import main  # noqa: E402

sys.exit(main())
