"""Many runs of all datasets with random faults: ``python -m tests.faults.soak``, or ``make soak``.

``RUNS`` sets the number of runs and ``SEED`` the faults. The seed is printed, so a soak that fails can be repeated.
Each run must end with success, or with a cause. At the end each month is started once more without a fault. Every store
must then have it whole, with the same content as after a forced load, and with nothing left over.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from nyc_taxi.registry.datasets import FHV, FHVHV, GREEN, YELLOW, ZONES
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from tests.faults.cases import SHORT_TIMEOUT
from tests.faults.proxy import Fault, Kind
from tests.faults.runs import Hooks
from tests.faults.scene import SERVERS, STEPS, Leftovers, Scene
from tests.faults.worker import Order

RUNS = 200
MONTHS = (Month(2021, 1), Month(2021, 2))
FILES = (*(dataset.file(month) for dataset in (YELLOW, GREEN, FHV, FHVHV) for month in MONTHS), ZONES.file())
SIZES = (120, 150, 200)
STATUSES = ("503 Service Unavailable", "500 Internal Server Error", "429 Too Many Requests", "502 Bad Gateway")


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
        for file in self._files:
            if file.month is not None:
                scene.publish(file, SIZES[0])
        scene.publish_zones()

    def run(self, number: int) -> None:
        """Make one run of a random month and store with a random fault.

        Raises:
            AssertionError: it failed without a cause.
        """
        pick = self._random
        file, step = pick.choice(self._files), pick.choice(tuple(STEPS.values()))
        if file.month is not None and pick.random() < 0.6:
            self._scene.publish(file, pick.choice(SIZES))
        run = self._scene.run(file, step, force=pick.random() < 0.3)
        trouble = self._choose(run.dag_id)
        with self._set(trouble) as hooks:
            ended = run.go(hooks)
        causes = [one.error for one in ended.tries if one.state in ("failed", "up_for_retry")]
        assert all(causes), f"run {number} of {run.dag_id} has a try that failed without a cause: {ended.tries}"
        outcome = ended.state if ended.state == "failed" else f"success, {len(causes)} retries"
        self.ended[outcome] += 1
        print(f"{number:4} {run.dag_id:24} {file.month or ''!s:8} {trouble}: {outcome}", flush=True)
        for cause in causes[:1]:
            print(f"     {cause.splitlines()[0][:150]}", flush=True)

    def check(self) -> None:
        """Start all months once more, and check every store.

        Raises:
            AssertionError: a promise does not hold.
        """
        self._load_all()
        after_faults = self._scene.contents(self._files)
        assert self._scene.leftovers(known=self._files) == Leftovers()
        self._load_all(force=True)
        assert self._scene.contents(self._files) == after_faults
        assert self._scene.leftovers(known=self._files) == Leftovers()
        for file in self._files:
            rows = {place[0]: content.rows for place, content in after_faults.items() if _is(place, file)}
            assert rows, f"{file.dataset.name} {file.month} is in no store"
            assert len(set(rows.values())) == 1, f"{file.dataset.name} {file.month} has {rows}"
            assert 0 not in rows.values(), f"{file.dataset.name} {file.month} has {rows}"

    def _load_all(self, *, force: bool = False) -> None:
        for file in self._files:
            for step in STEPS.values():
                run = self._scene.run(file, step, force=force)
                assert run.go().state == "success", run.log()[-8000:]

    def _choose(self, dag_id: str) -> Trouble:
        pick = self._random
        assert self._scene.worker is not None
        task_id = pick.choice(self._scene.worker.dags[dag_id])["task_id"]
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
    def _set(self, trouble: Trouble) -> Iterator[Hooks]:
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


def _is(place: tuple[str, str, str], file: PublishedFile) -> bool:
    return place[1:] == (file.dataset.name, str(file.month))


def soak(scene: Scene, *, runs: int, seed: int, files: Sequence[PublishedFile] = FILES) -> Counter[str]:
    """Make the runs, and check everything at the end; returns how often the runs ended how.

    Raises:
        AssertionError: a promise does not hold.
    """
    made = Soak(scene, seed, files)
    for number in range(1, runs + 1):
        made.run(number)
    made.check()
    return made.ended


def main() -> int:
    """Soak an embedded cloud of its own; exit code 1 if a promise does not hold."""
    runs = int(os.environ.get("RUNS") or RUNS)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"SEED={seed} RUNS={runs}", flush=True)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, mock.patch.dict(os.environ):
        scene = Scene(Path(folder))
        try:
            scene.start()
            ended = soak(scene, runs=runs, seed=seed)
        except AssertionError as error:
            print(f"error: {error}\nrepeat it with: make soak SEED={seed} RUNS={runs}", file=sys.stderr)
            return 1
        finally:
            scene.stop()
    print(f"{runs} runs in {time.monotonic() - begin:.0f} s: {dict(ended)}; every store is whole, nothing is left over")
    return 0


if __name__ == "__main__":
    sys.exit(main())
