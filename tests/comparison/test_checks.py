"""How checks are run: what each outcome becomes, and that one side's failure keeps the other's results."""

from __future__ import annotations

import gzip
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import comparison.__main__ as comparison
from comparison.checks import (
    BuiltIn,
    Checks,
    Finding,
    NotPossible,
    NotRun,
    Result,
    WithCode,
    await_,
    extras,
    run_check,
)
from comparison.receiver import note_taker
from comparison.results import SIDES, Loaded, Results
from comparison.sides import SideError, not_run, python_of, run_checks
from local.cloud.settings import REPOSITORY


def _run(function: Any) -> Result:
    return run_check("a concept", function, side=None)


@pytest.mark.parametrize(
    ("finding", "outcome"),
    [(BuiltIn, "built in"), (WithCode, "with code"), (NotPossible, "not possible"), (NotRun, "not run here")],
)
def test_a_check_returns_its_mark_with_a_note(finding: type[Finding], outcome: str) -> None:
    result = _run(lambda side: finding("seen"))

    assert (result.concept, result.outcome, result.note) == ("a concept", outcome, "seen")
    assert result.is_expected


@pytest.mark.parametrize("returned", ["seen", None, Finding("seen")], ids=repr)
def test_a_check_without_a_mark_has_failed(returned: Any) -> None:
    result = _run(lambda side: returned)

    assert result.outcome == "failed"
    assert "returns BuiltIn, WithCode, NotPossible or NotRun" in result.note
    assert not result.is_expected


def test_an_assertion_that_does_not_hold_is_a_failure_that_says_where() -> None:
    def check(side: Any) -> Finding:
        assert [1] == [2]
        return BuiltIn("never")

    result = _run(check)
    assert result.outcome == "failed"
    assert "AssertionError" in result.note
    assert "assert [1] == [2]" in result.note


def test_checks_run_once_each_and_alone_in_the_callers_thread() -> None:
    import threading

    checks, threads, told = Checks(), {}, []

    @checks.check("beside")
    def beside(side: Any) -> Finding:
        threads["beside"] = threading.current_thread()
        return BuiltIn("")

    @checks.check("alone", alone=True)
    def alone(side: Any) -> Finding:
        threads["alone"] = threading.current_thread()
        return BuiltIn("")

    checks.run(None, ["beside", "alone"], threads=2, tell=told.append)

    assert sorted(result.concept for result in told) == ["alone", "beside"]
    assert threads["alone"] is threading.main_thread()
    assert threads["beside"] is not threading.main_thread()
    with pytest.raises(ValueError, match="two checks of alone"):
        checks.check("alone")(alone)


def test_what_disturbs_the_others_runs_when_they_have_ended() -> None:
    checks, order = Checks(), []

    @checks.check("last", last=True)
    def last(side: Any) -> Finding:
        order.append("last")
        return BuiltIn("")

    @checks.check("slow")
    def slow(side: Any) -> Finding:
        time.sleep(0.2)
        order.append("slow")
        return BuiltIn("")

    told: list[Result] = []
    checks.run(None, ["last", "slow"], threads=2, tell=told.append)

    assert order == [result.concept for result in told] == ["slow", "last"]


def test_waiting_ends_with_what_was_waited_for_or_says_what_was_not() -> None:
    assert await_(lambda: 7, "seven") == 7
    with pytest.raises(TimeoutError, match="timed out after 0 s, waiting until it happens"):
        await_(lambda: None, "it happens", timeout=0.1, poll=0.05)


def test_the_extras_of_a_package_are_named_without_their_prefix() -> None:
    found = extras("apache-airflow", "apache-airflow-providers-")

    assert {"google", "postgres", "common-sql"} < found
    assert "apache-airflow-providers-google" not in found


def test_requests_are_noted_with_their_path_and_body() -> None:
    with note_taker(404) as (url, seen):
        answer = httpx.post(f"{url}/v1/metrics", content=gzip.compress(b"one"), headers={"Content-Encoding": "gzip"})
        httpx.get(f"{url}/api", headers={"Authorization": "key"})

    assert answer.status_code == 404
    assert [(note.path, note.body) for note in seen] == [("/v1/metrics", b"one"), ("/api", b"")]
    assert seen[1].headers["Authorization"] == "key"


def test_a_program_of_checks_that_breaks_off_fails_those_that_it_did_not_tell_of() -> None:
    found = list(run_checks(Path(sys.executable), "no.such.module", ["flow", "task"], {}))

    assert [(result.concept, result.outcome) for result in found] == [("flow", "failed"), ("task", "failed")]
    assert "No module named" in found[0].note


def test_a_missing_environment_is_named_with_what_to_do() -> None:
    with pytest.raises(SideError, match="comparison/none is not installed; make compare installs it"):
        python_of(REPOSITORY / "comparison" / "none", "make compare installs it")


def _results(**differences: Any) -> Results:
    rows = {side: {"lake": 3, "bigquery": 3, "postgres": 3} for side in ("airflow", "prefect")}
    values: dict[str, Any] = {
        "date": "2026-01-01T00:00:00+00:00",
        "quick": True,
        "seconds": 1.0,
        "machine": {},
        "versions": {},
        "source": "synthetic months",
        "checks": {
            "airflow": {"flow": Result(concept="flow", outcome="built in", note="")},
            "prefect": {"flow": Result(concept="flow", outcome="not possible", note="")},
        },
        "loaded": [Loaded(dataset="green", month="2021-01", rows=rows, identical=True)],
        "course_rerun": [3, 6],
        "measurements": [],
    }
    return Results(**(values | differences))


def test_the_last_line_counts_the_checks_that_ended_with_a_finding() -> None:
    assert _results().last_line() == "compared concepts=1 airflow=1 prefect=1 identical=yes"
    failed = {"flow": Result(concept="flow", outcome="failed", note="")}
    one_side = {"airflow": _results().checks["airflow"], "prefect": failed}
    assert _results(checks=one_side, loaded=[]).last_line() == "compared concepts=1 airflow=1 prefect=0 identical=no"


def test_some_checks_alone_renew_theirs_and_leave_the_others() -> None:
    failed = Result(concept="task", outcome="failed", note="")
    kept = _results(checks={side: {"flow": _results().checks[side]["flow"], "task": failed} for side in SIDES})
    passed = Result(concept="task", outcome="built in", note="seen")

    other = _results(
        checks={"airflow": {"task": passed}, "prefect": {"task": failed}},
        failures={"prefect": "it is late"},
    )
    renewed = kept.with_checks_of(other)

    assert renewed.checks["airflow"] == {"flow": kept.checks["airflow"]["flow"], "task": passed}
    assert renewed.checks["prefect"] == kept.checks["prefect"]
    assert list(renewed.checks["airflow"]) == ["flow", "task"]
    assert renewed.loaded == kept.loaded
    assert renewed.failures == {"prefect": "it is late"}
    again = replace(renewed, failures={**renewed.failures, "task, prefect as here": "no time"})
    assert again.with_checks_of(replace(other, failures={})).failures == {"task, prefect as here": "no time"}
    different = replace(kept.loaded[0], identical=False)
    assert not kept.with_checks_of(replace(other, loaded=[different])).identical


def test_a_side_that_did_not_start_leaves_the_others_results_and_is_no_success() -> None:
    of_prefect = {result.concept: result for result in not_run(["flow"], "port 4200 is taken")}
    results = _results(
        checks={"airflow": _results().checks["airflow"], "prefect": of_prefect},
        loaded=[],
        failures={"prefect": "port 4200 is taken"},
    )

    assert of_prefect["flow"] == Result(concept="flow", outcome="not run", note="port 4200 is taken")
    assert results.expected("airflow") == 1
    assert not results.is_complete


class _Side:
    """A side that starts or does not, and of which every check passes."""

    def __init__(self, name: str, error: str = "") -> None:
        self.name, self.error, self.stopped = name, error, False

    def start(self, settings: str) -> float:
        if self.error:
            raise SideError(self.error)
        return 1.5

    def stop(self) -> None:
        self.stopped = True

    def check(self, concepts: list[str]) -> list[Result]:
        return [Result(concept=concept, outcome="built in", note="") for concept in concepts]


@pytest.mark.parametrize("at_once", [True, False])
def test_the_side_that_starts_is_checked_and_the_other_one_is_named(at_once: bool) -> None:
    there: Any = SimpleNamespace(airflow=_Side("airflow"), prefect=_Side("prefect", "port 4200 is taken"))
    failures: dict[str, str] = {}

    running, cold = comparison._start(there, failures, at_once=at_once)
    found = comparison._check(there, running, ["flow", "task"], failures)

    assert running == [there.airflow]
    assert cold.runs == {"airflow as here": [1.5]}
    assert there.prefect.stopped
    assert failures == {"prefect": "port 4200 is taken"}
    assert [result.outcome for result in found["airflow"].values()] == ["built in", "built in"]
    assert {(result.outcome, result.note) for result in found["prefect"].values()} == {
        ("not run", "port 4200 is taken")
    }


def test_a_finding_is_a_success_and_a_failed_check_is_none() -> None:
    assert _results().is_complete
    failed = {"flow": Result(concept="flow", outcome="failed", note="")}
    assert not _results(checks={"airflow": failed, "prefect": failed}).is_complete


def test_the_containers_are_as_the_check_of_them_says() -> None:
    """This check looks at files alone, so a change of the compose file that breaks it shows here, without a stack."""
    from comparison.checks.airflow import deploy

    assert deploy.docker(None).note.startswith("one image for four services")  # type: ignore[arg-type]
