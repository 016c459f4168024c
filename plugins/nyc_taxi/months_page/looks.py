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
ERROR_AGE_SECONDS = 30.0
# A look may take at most this share of a store's time, so that a page that stays open does not keep a store busy.
MOST_OF_THE_TIME = 0.1
SILENT_SECONDS = 20.0
ERROR_CHARACTERS = 500


@dataclass(frozen=True, kw_only=True)
class Look:
    """One store's answer for one dataset.

    Attributes:
        months: the months that it has, as :meth:`Store.months` returns them; those of before if ``error`` is set.
        answered: whether the store has ever answered; else ``months`` says nothing.
        at: when the last look that has ended began, in seconds since the epoch; 0 before the first one.
        seconds: how long that look took.
        error: why the store did not answer; empty if it did.
        began: when a newer look began that is under way; 0 if there is none.
    """

    months: Mapping[Month | None, StoredMonth] = field(default_factory=dict)
    answered: bool = False
    at: float = 0.0
    seconds: float = 0.0
    error: str = ""
    began: float = 0.0

    @property
    def running(self) -> bool:
        """Whether a newer look is under way."""
        return self.began > 0

    def is_too_old(self, now: float, changed_at: float, *, again: bool) -> bool:
        """Whether the store should be looked at anew."""
        if self.running:
            return False
        if again:
            return now - self.at > 2 * self.seconds
        if self.at <= changed_at:
            return now - self.at > self.seconds / MOST_OF_THE_TIME
        return now - self.at > (ERROR_AGE_SECONDS if self.error else MAX_AGE_SECONDS)


class Looks:
    """The last look at each dataset in each store. Threads may share it.

    A look is renewed in the background if it is older than the newest change or than :data:`MAX_AGE_SECONDS`, if it
    failed, or when asked. Looking costs: BigQuery reads two columns, and Postgres counts the rows.

    Args:
        connect: returns the store called so.
    """

    def __init__(self, connect: Callable[[str], Store]) -> None:
        self._connect = connect
        self._found: dict[tuple[str, str], Look] = {}
        self._lock = threading.Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def read(self, store: str, dataset: Dataset, *, changed_at: float = 0.0, again: bool = False) -> Look:
        """Return the last look at a dataset in a store, and begin a new one if it is too old.

        Args:
            store: the store's name.
            dataset: the dataset.
            changed_at: when the store's content may have changed last, in seconds since the epoch.
            again: whether the store is to be looked at although nothing has changed.
        """
        key, now = (store, dataset.name), time.time()
        with self._lock:
            look = self._found.get(key, Look())
            if look.is_too_old(now, changed_at, again=again):
                look = self._found[key] = replace(look, began=now)
                # One thread for each store: a store that hangs holds up no other, and is asked one question at a time.
                pool = self._pools.setdefault(store, ThreadPoolExecutor(1, f"months-{store}"))
                pool.submit(self._look, key, dataset)
        if look.running and now - look.began > SILENT_SECONDS:
            return replace(look, error=f"no answer for {now - look.began:.0f} seconds")
        return look

    def _look(self, key: tuple[str, str], dataset: Dataset) -> None:
        at = time.time()
        try:
            look = Look(months=dict(self._connect(key[0]).months(dataset)), answered=True, at=at)
        except Exception as error:  # any store, any client: the page shows what is wrong
            before = self._found[key]
            look = Look(months=before.months, answered=before.answered, at=at, error=first_line(error))
        with self._lock:
            self._found[key] = replace(look, seconds=time.time() - at)


def first_line(error: Exception) -> str:
    """Return the kind of an error and the first line of its message, in printable characters."""
    text = printable(str(error).strip().split("\n")[0], longest=ERROR_CHARACTERS)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
