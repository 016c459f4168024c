"""Free TCP ports for the servers that tests start."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator

# The settings of the ports of a whole stack.
PORTS = ("AIRFLOW_PORT", "GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT", "SOURCE_PORT", "REDIS_PORT")

# Below the ports that the system itself gives to outgoing connections, which could take one before its server listens.
_FIRST, _LAST = 20_000, 32_000
# Test processes that run at once take their ports from a part each.
_PARTS = 8


def free_port() -> int:
    """Return a port on which nothing listens, and that no test running at the same time is given, too."""
    return next(port for port in _PORTS if is_free(port))


def part(worker: str) -> range:
    """Return the ports of a pytest-xdist worker, such as ``gw3``; of a process without workers if it is empty."""
    size = (_LAST - _FIRST) // _PARTS
    number = int(worker.removeprefix("gw")) % (_PARTS - 1) + 1 if worker else 0
    return range(_FIRST + number * size, _FIRST + (number + 1) * size)


def _each(ports: range) -> Iterator[int]:
    """Yield them in a circle, from anywhere: none again while its server may still be about to start."""
    start = random.randrange(len(ports))
    return itertools.cycle([*ports[start:], *ports[:start]])


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As servers bind it: connections of an earlier server, which are closed and only wait, are in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_PORTS = _each(part(os.environ.get("PYTEST_XDIST_WORKER", "")))
