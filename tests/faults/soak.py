"""Many runs of all datasets with random faults: ``python -m tests.faults.soak``, or ``make soak``.

``RUNS`` sets the number of runs and ``SEED`` all random choices. A soak that fails prints the seed and what it has
done, so that it can be repeated. Each run must end with success, or with a cause. After each run every month in every
store is compared with what the runs so far can have left there. Some runs overlap: two runs of one month alternate, and
each finds another version of it.

At the end each version of each month is loaded by force, without a fault. Every store must then have what it had of
that version before, and nothing may be left over.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from local.cloud.processes import raise_on_signals
from nyc_taxi.registry.datasets import FHV, FHVHV, GREEN, YELLOW, ZONES
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Content
from tests.faults.cases import SHORT_TIMEOUT
from tests.faults.proxy import Fault, Kind
from tests.faults.runs import Ended, Hooks, Run
from tests.faults.scene import SERVERS, STEPS, ZONE_ROWS, Leftovers, Place, Scene
from tests.faults.worker import Order

RUNS = 200
MONTHS = (Month(2021, 1), Month(2021, 2))
FILES = (*(dataset.file(month) for dataset in (YELLOW, GREEN, FHV, FHVHV) for month in MONTHS), ZONES.file())
SIZES = (120, 150, 200)
STATUSES = ("503 Service Unavailable", "500 Internal Server Error", "429 Too Many Requests", "502 Bad Gateway")
# How often two runs of one month overlap.
OVERLAPS = 0.25


@dataclass(frozen=True)
class Trouble:
    """What one run of the soak is faced with.

    Attributes:
        task_id: the task at which it occurs.
        server: the server whose connection is harmed; empty for a process.
        fault: what is done to the connection.
        signal: what is sent to the task; None for nothing.
        delay: seconds after the start of the try at which the signal is sent.
    """

    task_id: str
    server: str = ""
    fault: Fault | None = None
    signal: signal.Signals | None = None
    delay: float = 0.0

    def __str__(self) -> str:
        if self.fault is not None:
            return f"{self.fault.kind.name.lower()} at {self.server} in {self.task_id}, after {self.fault.after} bytes"
        return f"{self.signal.name if self.signal else 'no fault'} in {self.task_id}, after {self.delay:.3f} s"


class Stores:
    """What every store may have, as the runs so far can have left it.

    A version of a month is known by its number of rows, 0 for none. The content of a version is learned when it is
    first seen, and must be the same ever after.

    Args:
        scene: a started scene, whose stores are empty.
        files: the months.
    """

    def __init__(self, scene: Scene, files: Sequence[PublishedFile]) -> None:
        self._scene = scene
        self._files = files
        self._contents: dict[tuple[Place, int], Content] = {}
        self.versions: dict[Place, int] = dict.fromkeys(scene.contents(files), 0)

    def check(self, place: Place, *, may_have: set[int], files: Sequence[PublishedFile] = ()) -> None:
        """Compare all stores with what they had before.

        Args:
            place: the store and the month that have been loaded since.
            may_have: the versions that they may have now.
            files: compare only these months.

        Raises:
            AssertionError: a month differs from what it may be.
        """
        for where, content in self._scene.contents(files or self._files).items():
            allowed = may_have if where == place else {self.versions[where]}
            assert content.rows in allowed, f"{where} has {content.rows} rows, and may have {sorted(allowed)}"
            known = self._contents.setdefault((where, content.rows), content)
            assert content == known, f"{where} has {content}; the version with these rows was {known} before"
            self.versions[where] = content.rows


class Soak:
    """A scene, and what its sources have.

    Args:
        scene: a started scene.
        seed: of all random choices.
        files: the months that are loaded.
    """

    def __init__(self, scene: Scene, seed: int, files: Sequence[PublishedFile]) -> None:
        self.ended: Counter[str] = Counter()
        self._scene = scene
        self._files = files
        self._random = random.Random(seed)
        self._stores = Stores(scene, files)
        self._source = {file: ZONE_ROWS if file.month is None else SIZES[0] for file in files}
        for file in self._files:
            if file.month is not None:
                scene.publish(file, SIZES[0])
        scene.publish_zones()

    def run(self, number: int) -> None:
        """Make one run, or two that overlap, of a random month and store with random faults, and check all stores.

        Raises:
            AssertionError: a run has failed without a cause, or a store has what it may not have.
        """
        pick = self._random
        file, store = pick.choice(self._files), pick.choice(tuple(STEPS))
        print(f"{number:4} {file.dataset.name}_{STEPS[store]} {file.month or ''}", end=" ", flush=True)
        if file.month is not None and pick.random() < OVERLAPS:
            self._overlap(file, store)
        else:
            self._single(file, store)

    def _single(self, file: PublishedFile, store: str) -> None:
        pick = self._random
        if pick.random() < 0.6:
            self._publish(file, pick.choice(SIZES))
        run = self._scene.run(file, STEPS[store], force=pick.random() < 0.3)
        with self._trouble(run) as hooks:
            ended = run.go(hooks)
        self._record(ended)
        place, offered = _place(store, file), self._offered(store, file)
        may_have = {offered} if ended.state == "success" else {self._stores.versions[place], offered}
        self._stores.check(place, may_have=may_have)

    def _overlap(self, file: PublishedFile, store: str) -> None:
        """Let two runs alternate; the second one begins when the first one's version has been replaced."""
        pick, place = self._random, _place(store, file)
        sizes = pick.sample(SIZES, 2)
        before = self._stores.versions[place]
        runs = []
        for size in sizes:
            self._offer(file, store, size)
            run = self._scene.run(file, STEPS[store])
            runs.append(run)
            run.go(until=pick.choice(self._task_ids(run)))
            self._stores.check(place, may_have={self._stores.versions[place], size})
        pick.shuffle(runs)
        print(f"overlap with {sizes}: ", end="", flush=True)
        with self._trouble(runs[0]) as hooks:
            first = runs[0].go(hooks)
        second = runs[1].go()
        self._record(first)
        self._record(second)
        both = first.state == second.state == "success"
        may_have = {self._offered(store, file)} if both else {before, *sizes}
        self._stores.check(place, may_have=may_have)

    def _publish(self, file: PublishedFile, rows: int) -> None:
        """Put a version into the source; the zones have only one."""
        if file.month is not None:
            self._scene.publish(file, rows)
            self._source[file] = rows

    def _offer(self, file: PublishedFile, store: str, rows: int) -> None:
        """Put a version where the store's runs read it."""
        self._publish(file, rows)
        if store == "bigquery":
            self._scene.load(file, [STEPS["lake"]])
            self._stores.check(_place("lake", file), may_have={rows})

    def _offered(self, store: str, file: PublishedFile) -> int:
        """Return the version that the store's runs read; a run of the warehouse loads what the lake has."""
        return self._stores.versions[_place("lake", file)] if store == "bigquery" else self._source[file]

    def _record(self, ended: Ended) -> None:
        causes = [one.error for one in ended.tries if one.state in ("failed", "up_for_retry")]
        assert all(causes), f"a try has failed without a cause: {ended.tries}"
        outcome = ended.state if ended.state == "failed" else f"success, {len(causes)} retries"
        self.ended[outcome] += 1
        print(f"     {outcome}{''.join(f': {cause.splitlines()[0][:150]}' for cause in causes[:1])}", flush=True)

    def check(self) -> None:
        """Load every version of all months once more, and check every store.

        Raises:
            AssertionError: a promise does not hold.
        """
        for file in self._files:  # what has failed is loaded by the next ordinary start
            self._load(file)
        assert self._scene.leftovers(known=self._files) == Leftovers()
        for file in self._files:
            for rows in SIZES if file.month is not None else (ZONE_ROWS,):
                self._publish(file, rows)
                self._load(file, force=True)
        self._stores.check(_place("lake", self._files[0]), may_have={self._source[self._files[0]]})
        assert self._scene.leftovers(known=self._files) == Leftovers()

    def _load(self, file: PublishedFile, *, force: bool = False) -> None:
        for store, step in STEPS.items():
            run = self._scene.run(file, step, force=force)
            assert run.go().state == "success", run.log()[-8000:]
            place, rows = _place(store, file), self._source[file]
            self._stores.check(place, may_have={rows}, files=[file])

    def _task_ids(self, run: Run) -> list[str]:
        assert self._scene.worker is not None
        return [task["task_id"] for task in self._scene.worker.dags[run.dag_id]]

    def _choose(self, run: Run) -> Trouble:
        pick = self._random
        task_id = pick.choice(self._task_ids(run))
        if pick.random() < 0.25:
            number = pick.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP))
            return Trouble(task_id, signal=number, delay=pick.uniform(0.0, 0.4))
        fault = Fault(
            kind=pick.choice(tuple(Kind)),
            after=int(pick.expovariate(1 / 1500)),
            direction=pick.choice(("request", "answer")),
            times=pick.choice((1, 1, 2, None)),
            seconds=0.002,
            status=pick.choice(STATUSES),
            add=pick.choice((-50, -1, 1, 50)),
        )
        return Trouble(task_id, server=pick.choice(SERVERS), fault=fault)

    @contextlib.contextmanager
    def _trouble(self, run: Run) -> Iterator[Hooks]:
        """Choose what the run is faced with, and cause it during the block."""
        trouble = self._choose(run)
        print(trouble, flush=True)
        proxies = self._scene.proxies

        def before(number: int) -> None:
            if number == 1 and trouble.fault is not None:
                proxies[trouble.server].set(trouble.fault)

        def during(number: int, pid: int, order: Order) -> None:
            if number != 1 or trouble.signal is None:
                return
            time.sleep(trouble.delay)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, trouble.signal)
                time.sleep(0.1)
                os.kill(pid, signal.SIGCONT)

        def after(number: int) -> None:
            if trouble.server:
                proxies[trouble.server].lift()

        try:
            yield Hooks(trouble.task_id, before=before, during=during, after=after, timeout=2 * SHORT_TIMEOUT)
        finally:
            after(0)


def _place(store: str, file: PublishedFile) -> Place:
    return store, file.dataset.name, str(file.month)


def soak(scene: Scene, *, runs: int, seed: int, files: Sequence[PublishedFile] = FILES) -> Counter[str]:
    """Make the runs, and check everything; returns how often the runs ended how.

    Raises:
        AssertionError: a promise does not hold. It has a note with the seed, as every other error has.
    """
    done = 0
    try:
        made = Soak(scene, seed, files)
        for number in range(1, runs + 1):
            made.run(number)
            done = number
        made.check()
    except BaseException as error:
        error.add_note(f"after {done} of {runs} steps of the soak; repeat it with: make soak SEED={seed} RUNS={runs}")
        raise
    return made.ended


def main() -> int:
    """Soak an embedded cloud of its own; exit code 1 if a promise does not hold."""
    raise_on_signals()
    runs = int(os.environ.get("RUNS") or RUNS)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"SEED={seed} RUNS={runs}", flush=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, mock.patch.dict(os.environ):
        scene = Scene(Path(folder))
        try:
            scene.start()
            ended = soak(scene, runs=runs, seed=seed)
        except Exception:
            print(flush=True)
            traceback.print_exc()
            return 1
        finally:
            scene.stop()
    print(
        f"SEED={seed}: {runs} steps with {ended.total()} runs in {time.monotonic() - begin:.0f} s: {dict(ended)}; "
        "every store was whole after each, nothing is left over"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
