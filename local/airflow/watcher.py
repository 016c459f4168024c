"""Restarts what dies of the running stack: ``python -m local.airflow.watcher``, which ``make up`` starts.

Every second the watcher looks whether a recorded component of the embedded cloud or of Airflow has died. It restarts
the component as ``make up`` would, by ``python -m local.airflow restart``: a process of its own, because a component
must not be a child of the watcher, which can be ended and replaced while the component runs.

Restarts of one component are delayed with exponential backoff. After ``BUDGET`` restarts within ``WINDOW`` seconds the
watcher gives the component up; ``make status`` and ``bin/airflow`` then say so and exit non-zero, until ``make up``.
Only deaths of its own count: what dies with Postgres, or is restarted with it, has its budget left.

The watcher and ``make up`` and ``make down`` exclude each other by the lock of the state folder (see
:func:`local.airflow.stack.up`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

from local.cloud.processes import (
    LockedError,
    Process,
    ProcessError,
    Running,
    end,
    locked,
    lost,
    raise_on_signals,
    running,
)
from local.cloud.settings import REPOSITORY, Settings

NAME = "watcher"
POLL_SECONDS = 1.0
BUDGET = 5
"""Restarts of one component for deaths of its own within ``WINDOW`` seconds; at the next it is given up."""
WINDOW = 600.0
BACKOFF = 2.0
"""Seconds before the second restart within the window; each further delay is twice as long. The first has none."""
STOP_TIMEOUT = 90.0
"""Seconds that the watcher may take to end: a restart that is under way first stops what it has started."""

POSTGRES = "postgres"
AIRFLOW_NEEDING_POSTGRES = ("scheduler", "dag-processor", "triggerer")
"""Components that do not survive a restart of Postgres."""


@dataclass
class Restarts:
    """What the watcher has done since the stack was started, kept in a file for ``make status``.

    Attributes:
        times: when each component was restarted, in seconds since the epoch.
        own_deaths: those of these times at which its own death was the reason, and not that of Postgres.
        given_up: when each component was given up.
        watching: pid of the watcher that watches.
    """

    times: dict[str, list[float]] = field(default_factory=dict)
    own_deaths: dict[str, list[float]] = field(default_factory=dict)
    given_up: dict[str, float] = field(default_factory=dict)
    watching: int | None = None

    @classmethod
    def read(cls, path: Path) -> Restarts:
        """Read the file; a missing or damaged one counts as no restarts."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self, path: Path) -> None:
        """Write the file; it appears whole."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)

    def recent(self, name: str, now: float) -> list[float]:
        """Return the restarts for deaths of the component's own within the window that ends ``now``."""
        return [at for at in self.own_deaths.get(name, []) if 0 <= now - at < WINDOW]

    def forget(self, name: str) -> None:
        """Give the component a new budget."""
        for record in (self.times, self.own_deaths, self.given_up):
            record.pop(name, None)  # type: ignore[attr-defined]

    def sentences(self) -> list[str]:
        """Describe the restarts, one sentence for each component, as ``scheduler restarted 2 times, last 21:03``."""
        return [
            f"{name} restarted {len(times)} time{'s' if len(times) != 1 else ''}, "
            f"last {time.strftime('%H:%M', time.localtime(times[-1]))}"
            for name, times in sorted(self.times.items())
            if times
        ]


class Watcher:
    """Decides what to restart, and when; starts and ends nothing itself.

    Args:
        restarts: what earlier watchers of this stack have done; changed in place.
        restart: restarts the named components together; returns whether all are healthy.
        give_up: ends what is left of a component.
        log: takes each line of the log.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        restarts: Restarts,
        *,
        restart: Callable[[Collection[str]], bool],
        give_up: Callable[[str], object],
        log: Callable[[str], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._restarts = restarts
        self._restart = restart
        self._give_up = give_up
        self._log = log
        self._clock = clock
        # Components to restart, each with the earliest time. A failed start leaves no record, so they are kept here.
        self._pending: dict[str, float] = {}

    @property
    def has_pending(self) -> bool:
        """Whether a component waits for its restart."""
        return bool(self._pending)

    def step(self, dead: Collection[str], alive: Collection[str]) -> bool:
        """Restart what has died and is due; returns whether there is something new to record.

        Args:
            dead: the recorded components that have died.
            alive: those that run.
        """
        now = self._clock()
        self._pending = {name: due for name, due in self._pending.items() if name not in alive}
        for name in dead:
            if name not in self._pending and name not in self._restarts.given_up:
                self._pending[name] = now + self._delay(name, now)
                self._log(f"{name} has died")
        due = self._due(now)
        over = [name for name in due if len(self._restarts.recent(name, now)) >= BUDGET]
        if POSTGRES in due and POSTGRES not in over:
            over = [name for name in over if name not in AIRFLOW_NEEDING_POSTGRES]
        for name in over:
            self._end_watch(name, now)
        due = [name for name in self._due(now) if name not in over]
        if due:
            self._restart_together(due)
        return bool(due or over)

    def _due(self, now: float) -> list[str]:
        due = [name for name, at in self._pending.items() if at <= now]
        if POSTGRES in self._restarts.given_up or (POSTGRES in self._pending and POSTGRES not in due):
            # Without Postgres they would only die again.
            due = [name for name in due if name not in AIRFLOW_NEEDING_POSTGRES]
        return due

    def _delay(self, name: str, now: float) -> float:
        recent = len(self._restarts.recent(name, now))
        return 0.0 if recent in (0, BUDGET) else BACKOFF * 2 ** (recent - 1)

    def _restart_together(self, names: list[str]) -> None:
        needing = AIRFLOW_NEEDING_POSTGRES if POSTGRES in names else ()
        together = [*names, *(name for name in needing if name not in names)]
        self._log(f"restarting {', '.join(together)}")
        now = self._clock()
        for name in together:
            self._restarts.times.setdefault(name, []).append(now)
            if name not in needing:
                self._restarts.own_deaths.setdefault(name, []).append(now)
        done = False
        try:
            done = self._restart(together)
            self._log("restarted" if done else "the restart has failed; the lines above say why")
        finally:  # also if the disk is full: without the delay, the budget would be used up at once
            self._record_end(together, done=done)

    def _record_end(self, names: list[str], *, done: bool) -> None:
        now = self._clock()
        for name in names:
            if done:
                self._pending.pop(name, None)
                self._restarts.given_up.pop(name, None)
            else:
                self._pending[name] = now + self._delay(name, now)

    def _end_watch(self, name: str, now: float) -> None:
        self._log(f"{name} was restarted {BUDGET} times within {WINDOW / 60:g} minutes, and is given up; run make up")
        self._restarts.given_up[name] = now
        del self._pending[name]
        self._give_up(name)


def run_dirs(state_dir: Path) -> tuple[Path, Path]:
    """Return the folders with the records of the running components: the embedded cloud's, and Airflow's."""
    return Settings(state_dir=state_dir).run_dir, state_dir / "airflow" / "run"


def restarts_file(state_dir: Path) -> Path:
    """Return the file with what the watcher has done."""
    return state_dir / "airflow" / "restarts.json"


def process(state_dir: Path, *, env: dict[str, str]) -> Process:
    """Return the watcher as a component of the stack.

    Args:
        env: the environment of the restarts: that in which ``make up`` starts the components.
    """
    _, run_dir = run_dirs(state_dir)
    return Process(
        name=NAME,
        command=[sys.executable, "-m", "local.airflow.watcher", str(state_dir)],
        log=state_dir / "airflow" / "process-logs" / "watcher.log",
        healthy=lambda: _watches(state_dir, running(NAME, run_dir=run_dir)),
        env=env,
        cwd=REPOSITORY,
        stop_timeout=STOP_TIMEOUT,
    )


def _watches(state_dir: Path, process: Running | None) -> bool:
    """Whether the watcher has begun to watch."""
    return process is not None and Restarts.read(restarts_file(state_dir)).watching == process.pid


def find_lost(state_dir: Path) -> list[str]:
    """Return the components that have died and are still recorded; the watcher itself is not among them."""
    return [name for folder in run_dirs(state_dir) if folder.is_dir() for name in lost(folder) if name != NAME]


def main() -> None:
    """Watch until SIGTERM."""
    raise_on_signals()
    state_dir = Path(sys.argv[1])
    path = restarts_file(state_dir)
    restarts = Restarts.read(path)
    restarts.watching = os.getpid()
    restarts.write(path)
    lock: list[int] = []  # the file descriptor of the lock, while it is held

    def restart(names: Collection[str]) -> bool:
        with contextlib.suppress(OSError):
            restarts.write(path)  # for make status, while the restart takes its time
        return _restart(names, lock=lock[0])

    watcher = Watcher(restarts, restart=restart, give_up=lambda name: _end_rest(name, state_dir), log=_log)
    _log(f"watching {', '.join(sorted(_recorded(state_dir)))}")
    said = ""
    unwritten = False
    while True:
        time.sleep(POLL_SECONDS)
        try:
            if watcher.has_pending or find_lost(state_dir):
                unwritten = True  # kept until the write succeeds: what is given up must not be forgotten
                _step(watcher, state_dir, lock)
            if unwritten:
                restarts.write(path)
                unwritten = False
        except (OSError, ProcessError) as error:  # a full disk, a damaged record: the watcher must outlive them
            if said != str(error):
                said = str(error)
                with contextlib.suppress(OSError):
                    _log(f"cannot restart anything: {error}")


def _step(watcher: Watcher, state_dir: Path, lock: list[int]) -> bool:
    """Let the watcher take a step, unless components are being started or stopped just now."""
    # The lock excludes make up and make down. The locks of both run folders exclude a start or stop by hand, which may
    # be ending just what looks dead.
    with contextlib.suppress(LockedError), locked(state_dir / "airflow", timeout=0) as held:
        lock[:] = [held]
        dead = _look(state_dir)
        return dead is not None and watcher.step(dead, alive=_alive(state_dir))
    return False


def _look(state_dir: Path) -> list[str] | None:
    """Return the components that have died; None while something else starts or stops components."""
    with contextlib.suppress(LockedError), contextlib.ExitStack() as stack:
        for folder in run_dirs(state_dir):
            stack.enter_context(locked(folder, timeout=0))
        return find_lost(state_dir)
    return None


def _recorded(state_dir: Path) -> list[str]:
    names = [path.stem for folder in run_dirs(state_dir) for path in folder.glob("*.json")]
    return [name for name in names if name != NAME]


def _alive(state_dir: Path) -> list[str]:
    dead = find_lost(state_dir)
    return [name for name in _recorded(state_dir) if name not in dead]


def _restart(names: Collection[str], *, lock: int) -> bool:
    """Run the command that restarts the components; it inherits the lock, and keeps it if this process is killed."""
    command = [sys.executable, "-m", "local.airflow", "restart", *names]
    child = subprocess.Popen(command, cwd=REPOSITORY, pass_fds=(lock,), stdin=subprocess.DEVNULL)
    try:
        return child.wait() == 0
    finally:
        if child.poll() is None:
            child.terminate()  # it first stops what it has started
            child.wait()


def _end_rest(name: str, state_dir: Path) -> None:
    """End what a dead component has left, such as the idle workers of a scheduler."""
    for folder in run_dirs(state_dir):
        end(name, run_dir=folder)


def _log(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main()
