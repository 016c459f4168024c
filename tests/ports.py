"""Free TCP ports for the servers that tests start."""

from __future__ import annotations

import random
import socket

# The settings of the ports of a whole stack.
PORTS = ("AIRFLOW_PORT", "GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT", "SOURCE_PORT")


def free_port() -> int:
    """Return a port on which nothing listens, below those that the system gives to outgoing connections by itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
