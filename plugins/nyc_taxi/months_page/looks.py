"""Keeps what the stores answered last, so that the page answers at once, however long a store takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from nyc_taxi.common.text import printable
from nyc_taxi.registry.model import Dataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Store, StoredMonth

MAX_AGE_SECONDS = 15 * 60.0
ERROR_CHARACTERS = 500


@dataclass(frozen=True, kw_only=True)
class Look:
    """One store's answer for one dataset.

    Attributes:
        months: the months that it has, as :meth:`Store.months` returns them; those of before if ``error`` is set.
        at: when the look began, in seconds since the epoch; 0 before the first one.
        error: why the store did not answer; empty if it did.
        running: whether a newer look is under way.
    """

    months: Mapping[Month | None, StoredMonth] = field(default_factory=dict)
    at: float = 0.0
    error: str = ""
    running: bool = False


class Looks:
    """The last look at each dataset in each store. Threads may share it.

    A look that is older than the newest change, or than :data:`MAX_AGE_SECONDS`, is renewed in the background. Looking
    costs: BigQuery reads two columns, and Postgres counts the rows.

    Args:
        connect: returns the store called so.
    """

    def __init__(self, connect: Callable[[str], Store]) -> None:
        self._connect = connect
        self._found: dict[tuple[str, str], Look] = {}
        self._lock = threading.Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def read(self, store: str, dataset: Dataset, *, changed_at: float = 0.0) -> Look:
        """Return the last look at a dataset in a store, and begin a new one if it is too old.

        Args:
            store: the store's name.
            dataset: the dataset.
            changed_at: when the store's content may have changed last, in seconds since the epoch.
        """
        key, now = (store, dataset.name), time.time()
        with self._lock:
            look = self._found.get(key, Look())
            if not look.running and (look.at <= changed_at or look.at < now - MAX_AGE_SECONDS):
                look = self._found[key] = replace(look, running=True)
                # One thread for each store: a store that hangs holds up no other, and is asked one question at a time.
                pool = self._pools.setdefault(store, ThreadPoolExecutor(1, f"months-{store}"))
                pool.submit(self._look, key, dataset)
            return look

    def _look(self, key: tuple[str, str], dataset: Dataset) -> None:
        at = time.time()
        try:
            look = Look(months=dict(self._connect(key[0]).months(dataset)), at=at)
        except Exception as error:  # any store, any client: the page shows what is wrong
            look = Look(months=self._found[key].months, at=at, error=first_line(error))
        with self._lock:
            self._found[key] = look


def first_line(error: Exception) -> str:
    """Return the kind of an error and the first line of its message, in printable characters."""
    text = printable(str(error).strip().split("\n")[0], longest=ERROR_CHARACTERS)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
