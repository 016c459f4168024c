"""The executable side of the concept table: for each concept one check of Airflow and one of Prefect.

A check does the thing on the running orchestrator and asserts what then is there. It returns what it saw, in a few
words, for the page. Where an orchestrator has no such thing, its check looks for it all the same, and raises
:class:`CannotError` with the reason; should a later version have it, the check fails and asks to be written.

Each side is a program of its own in its own environment (``python -m comparison.checks.airflow``, ``.prefect``); it
prints one JSON line for each check that has ended.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import httpx
import psutil

Outcome = Literal["passed", "cannot", "failed", "not run"]
T = TypeVar("T")
NOTE_CHARACTERS = 400


class CannotError(Exception):
    """The orchestrator cannot do that, or only a part of it; the message says so, and what is done instead."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a check ended.

    Attributes:
        concept: the concept's name.
        outcome: ``passed``; ``cannot``; ``failed``, which is a fault of this repository or of the orchestrator; or
            ``not run``, because the side did not start.
        note: what was seen, or the reason.
        seconds: how long the check took.
    """

    concept: str
    outcome: Outcome
    note: str
    seconds: float = 0.0


class Checks:
    """The checks of one side, by the names of their concepts."""

    def __init__(self) -> None:
        self.by_concept: dict[str, Callable[[Any], str]] = {}
        self._alone: list[str] = []

    def check(self, concept: str, *, alone: bool = False) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
        """Declare a check.

        Args:
            concept: the concept's name.
            alone: it runs in the main thread, one after another: a flow that is called runs in its caller's thread.
        """

        def declare(function: Callable[[Any], str]) -> Callable[[Any], str]:
            if concept in self.by_concept:
                raise ValueError(f"there are two checks of {concept}")
            self.by_concept[concept] = function
            if alone:
                self._alone.append(concept)
            return function

        return declare

    def run(self, side: Any, concepts: Sequence[str], *, threads: int, tell: Callable[[Result], None]) -> None:
        """Run the checks of these concepts: most at the same time, as they mainly wait."""
        beside = [concept for concept in concepts if concept not in self._alone]
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


def run_check(concept: str, function: Callable[[Any], str], side: Any) -> Result:
    """Run one check; whatever it raises is its result."""
    begin = time.monotonic()
    outcome: Outcome = "passed"
    try:
        note = function(side)
    except CannotError as reason:
        outcome, note = "cannot", str(reason)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome, note = "failed", f"{type(error).__name__}: {error} ({where.name}, line {where.lineno}: {where.line})"
        note = " ".join(note.split())[:NOTE_CHARACTERS]
    return Result(concept=concept, outcome=outcome, note=note, seconds=round(time.monotonic() - begin, 2))


def tell(result: Result) -> None:
    """Print the result as one JSON line."""
    print(json.dumps(asdict(result)), file=sys.stdout, flush=True)


def kill_tree(pid: int) -> float:
    """Kill a process and all that it has started, by SIGKILL; returns when, on the monotonic clock, in seconds."""
    process = psutil.Process(pid)
    begin = time.monotonic()
    for each in [*process.children(recursive=True), process]:
        each.kill()
    return begin


def page_and_script(url: str) -> tuple[httpx.Response, httpx.Response]:
    """Load a page and the first script that it names, as a browser would."""
    with httpx.Client(base_url=url, trust_env=False, follow_redirects=True) as browser:
        page = browser.get("/")
        script = next(part for part in page.text.split('"') if part.endswith(".js"))
        return page, browser.get(page.url.join(script))


def refused(call: Callable[[], Any], *codes: int) -> httpx.Response:
    """What a server answers to a call that it refuses with one of these HTTP codes.

    Raises:
        AssertionError: it does not refuse it.
    """
    try:
        call()
    except httpx.HTTPStatusError as error:
        if error.response.status_code in codes:
            return error.response
        raise
    raise AssertionError("the server did not refuse it")


def await_(condition: Callable[[], T | None], what: str, timeout: float = 60.0, poll: float = 0.25) -> T:
    """Wait until ``condition`` returns something that counts as true, and return that.

    Raises:
        TimeoutError: it did not happen in time.
    """
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s in vain until {what}")
        time.sleep(poll)
    return result
