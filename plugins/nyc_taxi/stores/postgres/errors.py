"""Makes the errors of the database safe to show: they quote values, which come from files that others wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nyc_taxi.common.text import printable


@contextmanager
def printable_errors() -> Iterator[None]:
    """Put an error of the database that leaves the block on one line, with its control characters escaped.

    Postgres quotes the row that it rejects, for example in the detail of a violated constraint. The error keeps its
    type, its traceback and its ``diag``.

    Raises:
        psycopg.Error: the block raised it.
    """
    # Imported here, because the DAGs of the other stores import this module too.
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        error.args = ("; ".join(map(printable, str(error).splitlines())),)
        raise
