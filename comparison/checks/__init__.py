"""The checks of the concept table: one of Airflow and one of Prefect for each concept.

A check uses the concept on the running orchestrator, asserts the result, and returns its finding with one clause for
the page:

- :class:`BuiltIn`: the orchestrator does it.
- :class:`WithCode`: it does it with code of the user's own, which is in this repository, and which the check has run.
- :class:`NotPossible`: the check has tried the nearest documented way, and asserted how it falls short; once a later
  version can do it, the check fails.
- :class:`NotRun`: it needs what this machine has not, such as containers; the check has looked at the configuration.

One rule tells the first two apart, on both sides and for everything that the concept's sentence says:

- Built in is what the orchestrator, or a provider or collection of its own project, documents for this purpose, and
  what the user only gives values: arguments, settings, names, a declared rule, one command or one call of the API.
- Code of the user's own is whatever decides something that the orchestrator leaves open: a function that it calls
  back, a condition, a cache key, a loop over declarations, a lookup, a reaction that is put together from its general
  events and actions, or a program that calls its API.

The work itself, which the orchestrator runs, is code on both sides, and does not count.

A concept whose side did not start has no finding; see :class:`Result`.

Each side runs its checks in its own environment (``python -m comparison.checks.airflow``, ``.prefect``), and prints
one JSON line for each finished check.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import requires
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal, TypeVar, get_args

import httpx
import psutil

from local.cloud.settings import REPOSITORY

Mark = Literal["built in", "with code", "not possible", "not run here"]
Outcome = Literal["built in", "with code", "not possible", "not run here", "failed", "not run"]
# From the best to the worst; a check that ended with one of them ended as expected.
MARKS: tuple[Mark, ...] = get_args(Mark)
T = TypeVar("T")
NOTE_CHARACTERS = 400
# How long a server may take for an answer on a busy machine.
SECONDS = 60.0


@dataclass(frozen=True)
class Finding:
    """What a check found; one of the four subclasses.

    Attributes:
        note: one clause for the page, without a full stop: what does it, or how the nearest way falls short.
    """

    mark: ClassVar[Mark]
    note: str


class BuiltIn(Finding):
    """The orchestrator does it by itself."""

    mark = "built in"


class WithCode(Finding):
    """The orchestrator does it with code of the user's own, such as the code here that the check ran."""

    mark = "with code"


class NotPossible(Finding):
    """The orchestrator cannot do it; the note says how the nearest documented way falls short."""

    mark = "not possible"


class NotRun(Finding):
    """It was not run here; the note says what was looked at."""

    mark = "not run here"


Check = Callable[[Any], Finding]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a check ended.

    Attributes:
        concept: the concept's name.
        outcome: the mark of the check's finding; ``failed``, which is a fault of this repository or of the
            orchestrator; or ``not run``, because the side did not start.
        note: the finding's note, or the reason.
        seconds: the duration of the check.
        code: the hash of the check's code when it ran; see ``comparison/fingerprints.py``.
        version: the version of the orchestrator that it ran on.
        day: when it ran, ISO 8601, UTC.
    """

    concept: str
    outcome: Outcome
    note: str
    seconds: float = 0.0
    code: str = ""
    version: str = ""
    day: str = ""

    @property
    def is_expected(self) -> bool:
        """Whether the check ended with a finding, whatever that is."""
        return self.outcome in MARKS


class Checks:
    """The checks of one side, by the names of their concepts."""

    def __init__(self) -> None:
        self.by_concept: dict[str, Check] = {}
        self._alone: list[str] = []
        self._last: list[str] = []

    def check(self, concept: str, *, alone: bool = False, last: bool = False) -> Callable[[Check], Check]:
        """Declare a check.

        Args:
            concept: the concept's name.
            alone: run it in the main thread, one at a time, because a flow that is called runs in its caller's thread.
            last: run it when all others have ended, because it takes away what they need.
        """

        def declare(function: Check) -> Check:
            if concept in self.by_concept:
                raise ValueError(f"there are two checks of {concept}")
            self.by_concept[concept] = function
            if alone:
                self._alone.append(concept)
            if last:
                self._last.append(concept)
            return function

        return declare

    def run(self, side: Any, concepts: Sequence[str], *, threads: int, tell: Callable[[Result], None]) -> None:
        """Run the checks of these concepts, most of them in parallel, because they mostly wait."""
        last = [concept for concept in concepts if concept in self._last]
        beside = [concept for concept in concepts if concept not in (*self._alone, *last)]
        lock = threading.Lock()

        def run_one(concept: str) -> None:
            result = run_check(concept, self.by_concept[concept], side)
            with lock:
                tell(result)

        with ThreadPoolExecutor(threads) as pool:
            started = [pool.submit(run_one, concept) for concept in beside]
            for concept in concepts:
                if concept in self._alone:
                    run_one(concept)
            for done in as_completed(started):
                done.result()
        for concept in last:
            run_one(concept)


def run_check(concept: str, function: Check, side: Any) -> Result:
    """Run one check; an exception becomes its result."""
    begin = time.monotonic()
    outcome: Outcome
    try:
        finding = function(side)
        if type(finding) not in (BuiltIn, WithCode, NotPossible, NotRun):
            raise TypeError(f"a check returns BuiltIn, WithCode, NotPossible or NotRun, but it was {finding!r}")
        outcome, note = finding.mark, finding.note
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome, note = "failed", f"{type(error).__name__}: {error} ({where.name}, line {where.lineno}: {where.line})"
        note = " ".join(note.split())[:NOTE_CHARACTERS]
    return Result(concept=concept, outcome=outcome, note=note, seconds=round(time.monotonic() - begin, 2))


def declare(package: ModuleType) -> None:
    """Import all modules of a side's package, so that their checks are declared."""
    for module in pkgutil.iter_modules(package.__path__):
        if module.name != "__main__":
            importlib.import_module(f"{package.__name__}.{module.name}")


def tell(result: Result) -> None:
    """Print the result as one JSON line."""
    print(json.dumps(asdict(result)), file=sys.stdout, flush=True)


def seconds_between(begin: str, end: str) -> float:
    """The seconds between two moments in ISO 8601."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def kill_tree(pid: int) -> float:
    """Kill a process and its descendants with SIGKILL; returns the time of the kill on the monotonic clock."""
    process = psutil.Process(pid)
    begin = time.monotonic()
    process.suspend()  # so that it cannot report the end of its children
    for each in [*process.children(recursive=True), process]:
        each.kill()
    return begin


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, with an author of the comparison's own; returns what it printed."""
    command = ["git", "-c", "user.name=compare", "-c", "user.email=compare@example.com", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def posts(receiver_url: str) -> list[dict[str, Any]]:
    """All alerts that were posted to the receiver, oldest first."""
    found: list[dict[str, Any]] = httpx.get(receiver_url, trust_env=False, timeout=SECONDS).json()
    return found


def refused(call: Callable[[], Any], *codes: int) -> httpx.Response:
    """The answer of a server that refuses a call with one of these HTTP codes.

    Raises:
        AssertionError: the server accepts the call.
    """
    try:
        call()
    except httpx.HTTPStatusError as error:
        if error.response.status_code in codes:
            return error.response
        raise
    raise AssertionError("the server accepted the call")


def await_(condition: Callable[[], T | None], what: str, timeout: float = 60.0, poll: float = 0.25) -> T:
    """Poll ``condition`` until it returns a true value, and return that.

    Raises:
        TimeoutError: it returned none in time; the message holds ``what``.
    """
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"timed out after {timeout:.0f} s, waiting until {what}")
        time.sleep(poll)
    return result


def refused_calls(task_from: str, folder: Path, *calls: str, plugin: str = "") -> list[str]:
    """Let mypy check a program in which tasks call each other; returns the calls that it refuses.

    Args:
        task_from: the module with the decorator ``task``; mypy reads it in the environment of this process.
        folder: where the program is written.
        calls: lines of the program, with the tasks ``count`` and ``double`` of numbers and ``show`` of a text.
        plugin: the module of a plugin of mypy.
    """
    program = folder / f"typed_by_{task_from.partition('.')[0]}.py"
    program.write_text(_TYPED.format(module=task_from) + "\n".join(calls) + "\n")
    config = folder / "mypy.ini"
    config.write_text(f"[mypy]\nplugins = {plugin}\n")
    done = subprocess.run(
        [REPOSITORY / ".venv" / "bin" / "mypy", "--config-file", config, "--cache-dir=/dev/null", "--no-error-summary",
         "--follow-imports=silent", "--python-executable", sys.executable, program],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    lines = program.read_text().splitlines()
    numbers = re.findall(rf"^{program.name}:(\d+): error: ", done.stdout, re.MULTILINE)
    found = {lines[int(number) - 1] for number in numbers}
    assert found <= set(calls), done.stdout
    return sorted(found)


_TYPED = """\
from {module} import task


@task
def count() -> int:
    return 1


@task
def double(number: int) -> int:
    return 2 * number


@task
def show(text: str) -> None: ...


"""


def extras(package: str, prefix: str) -> set[str]:
    """What follows the prefix in the names of the packages that the installed version of a package has as extras."""
    return {match[1] for each in requires(package) or [] if (match := re.match(rf"{prefix}([\w-]+)", each))}
