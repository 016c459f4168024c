"""``python -m local.cloud.bigquery``."""

import logging
import sys

from bqemulator.config import LogFormat, LogLevel
from bqemulator.observability.logging_ import configure_logging

# Before bqemulator's other modules, which log while they are imported.
configure_logging(level=LogLevel.WARNING, fmt=LogFormat.CONSOLE)
# It warns of every statement whose syntax it does not know; what that means is for this package to decide.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

from local.cloud.bigquery.server import main  # noqa: E402

sys.exit(main())
