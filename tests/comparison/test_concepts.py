"""The concept table is complete, has a check on each side and working links, and its page is current."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag

from comparison import page
from comparison.concepts import CONCEPTS, Lines
from comparison.measurements import CODE, count_lines, lines_of_code
from comparison.page import PAGE, page_with, rows, sections
from comparison.prefect_side import PLANS
from comparison.results import RESULTS, SIDES, Results
from tests.conftest import REPOSITORY

NAMES = [concept.name for concept in CONCEPTS]
# What a reader of the course looks for; more are allowed.
EXPECTED = {
    "approval",
    "backfill",
    "caching",
    "checked_in_ci",
    "cancelling",
    "catch_up",
    "cloud",
    "clean_up",
    "code_from_git",
    "concurrency",
    "connections",
    "control_plane_down",
    "crash_recovery",
    "dependencies",
    "deployment",
    "docker",
    "ecosystem",
    "edit_to_result",
    "events",
    "flow",
    "lateness",
    "logging",
    "mapping",
    "metadata",
    "notifications",
    "openlineage",
    "outside_events",
    "parameters",
    "priority",
    "providers",
    "rate_limits",
    "result_types",
    "results",
    "retries",
    "roles",
    "rollback",
    "run_names",
    "schedule",
    "secret_rotation",
    "secrets",
    "start_up",
    "subflows",
    "task",
    "telemetry",
    "testing",
    "time_outs",
    "transactions",
    "two_inputs",
    "upgrade",
    "variables",
    "waiting",
    "workers",
}


def _checks(side: str) -> dict[str, ast.FunctionDef]:
    """The checks of a side by concept; read from the source, because Prefect is not installed here."""
    found: dict[str, ast.FunctionDef] = {}
    modules = sorted((REPOSITORY / "comparison" / "checks" / side).glob("*.py"))
    functions = [node for path in modules for node in ast.parse(path.read_text()).body]
    for function in (node for node in functions if isinstance(node, ast.FunctionDef)):
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "check":
                [concept] = decorator.args
                assert isinstance(concept, ast.Constant)
                assert concept.value not in found
                found[concept.value] = function
    return found


def test_every_concept_that_a_reader_looks_for_is_there_once() -> None:
    assert set(NAMES) >= EXPECTED
    assert [name for name, count in Counter(NAMES).items() if count > 1] == []
    assert len(NAMES) >= 32


@pytest.mark.parametrize("side", SIDES)
def test_every_concept_has_a_check_that_asserts_something(side: str) -> None:
    checks = _checks(side)

    assert sorted(checks) == sorted(NAMES)
    for concept, function in checks.items():
        asserts = [node for node in ast.walk(function) if isinstance(node, ast.Assert)]
        assert asserts, f"{side}: the check of {concept} asserts nothing"
        assert all(any(isinstance(part, ast.Name) for part in ast.walk(node.test)) for node in asserts), concept
        assert ast.get_docstring(function), f"{side}: the check of {concept} does not say what it checks"


@pytest.mark.parametrize("concept", CONCEPTS, ids=NAMES)
def test_every_link_leads_to_a_line(concept: object) -> None:
    for lines in (concept.airflow, concept.prefect):  # type: ignore[attr-defined]
        assert lines.number() > 0


def test_a_link_to_no_line_or_to_several_is_refused() -> None:
    with pytest.raises(ValueError, match="is in 0 lines"):
        Lines("Makefile", "no such text").number()
    with pytest.raises(ValueError, match="in exactly one"):
        Lines("Makefile", "install").number()


def test_the_page_is_the_generated_one() -> None:
    """Fails after a change of a file that the table links to; make docs writes the page again."""
    results = Results.read()
    text = PAGE.read_text(encoding="utf-8")

    assert "\n".join(rows(results.checks)) in text
    assert page_with(text, results) == text


def test_the_results_are_those_of_a_whole_run() -> None:
    results = Results.read()

    for side in SIDES:
        assert list(results.checks[side]) == NAMES
    assert results.is_complete, results.failures
    assert results.course_rerun[1] == 2 * results.course_rerun[0] > 0
    assert json.loads(results.to_json()) == json.loads(RESULTS.read_text())


def test_versions_stand_with_their_environment_and_with_the_checks_that_ran_on_them() -> None:
    kept = Results.read()
    newer = {**kept.checks["prefect"], "flow": replace(kept.checks["prefect"]["flow"], version="99.1")}
    summary = sections(replace(kept, checks={**kept.checks, "prefect": newer}))["summary"]

    [checked] = [line for line in summary if line.startswith("The checks ran on ")]
    assert "apache-airflow" in checked
    assert re.search(r"prefect 99\.1 on \S+ \(1 of the checks\)", checked)
    [airflow] = [line for line in summary if line.startswith("- Airflow: ")]
    [prefect] = [line for line in summary if line.startswith("- Prefect: ")]
    assert "sqlalchemy" in airflow
    assert "prefect" not in airflow
    assert " sqlalchemy " not in prefect  # that of Airflow


def test_lines_of_code_on_the_page_are_those_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "lines_of_code", lambda: {"airflow": 7001, "prefect": 7002, "course": 7003})

    [line] = [line for line in page.sections(Results.read())["figures"] if "own code" in line]
    assert "7001 lines for Airflow, 7002 for Prefect, 7003 in the course" in line


def test_lines_of_code_leave_out_what_is_no_code(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        '"""A docstring\nof two lines."""\n\nimport os  # why\n\n\n'
        'def f(\n    a,\n):\n    """Doc."""\n    return """x\ny"""\n'
    )

    assert count_lines(path) == 6
    assert set(lines_of_code()) == set(CODE)
    assert all(count > 50 for count in lines_of_code().values())


@pytest.mark.parametrize("plan", PLANS)
def test_every_deployment_names_a_flow_that_there_is(plan: str) -> None:
    deployments = yaml.safe_load((REPOSITORY / "comparison" / "prefect_flows" / plan).read_text())["deployments"]

    assert deployments
    for deployment in deployments:
        path, _, name = deployment["entrypoint"].partition(":")
        functions = [node.name for node in ast.parse((REPOSITORY / path).read_text()).body if hasattr(node, "name")]
        assert name in functions


@pytest.mark.parametrize(
    ("file", "only_airflows", "only_prefects"),
    [
        # Airflow makes the scheduled ones in a function, because a schedule belongs to a DAG, as the retries do.
        (
            "examples.py",
            {"killed_with_its_host"},
            {"cached", "caught_up", "repeated", "resumed", "scheduled"}
            | {"time_out_in_thread", "time_out_of_async_tasks", "time_out_of_the_call"},
        ),
        ("starts_and_limits.py", set(), set()),
        # In Airflow a function, because the length of a chain belongs to its DAG.
        ("figures.py", set(), {"chain"}),
    ],
)
def test_both_have_the_same_examples(file: str, only_airflows: set[str], only_prefects: set[str]) -> None:
    """An example without a counterpart is allowed only where the other side has no such concept."""
    trees = {
        side: ast.parse((REPOSITORY / "comparison" / folder / file).read_text())
        for side, folder in (("airflow", "airflow_dags"), ("prefect", "prefect_flows"))
    }
    names = {
        side: {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and any(_name(decorator) in ("dag", "flow") for decorator in node.decorator_list)
        }
        for side, tree in trees.items()
    }

    assert names["airflow"] - names["prefect"] == only_airflows
    # Airflow has what belongs to them among its checks and cleared runs.
    assert names["prefect"] - names["airflow"] == only_prefects


def test_the_examples_are_dags_that_airflow_can_parse() -> None:
    bag = DagBag(REPOSITORY / "comparison" / "airflow_dags")

    assert bag.import_errors == {}
    assert {"retries", "killed", "approved", "waiting", "lineage", "chain_110", "many"} < set(bag.dags)
    first, second = (bag.dags[f"yellow_{step}_called"] for step in ("web_to_gcs", "gcs_to_bigquery"))
    assert "call" in first.get_task("local_to_gcs").downstream_task_ids
    assert first.get_task("call").trigger_dag_id == second.dag_id
    # Nothing but the call starts the second, and neither starts anything else.
    assert all(dag.schedule is None and not any(task.outlets for task in dag.tasks) for dag in (first, second))


def _name(decorator: ast.expr) -> str:
    return getattr(decorator.func if isinstance(decorator, ast.Call) else decorator, "id", "")
