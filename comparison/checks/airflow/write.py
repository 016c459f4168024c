"""Checks of Airflow: how a pipeline is written."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from airflow.sdk.bases.decorator import Task

from comparison import edited
from comparison.checks import BuiltIn, Finding, NotPossible, WithCode, await_, extras, refused, refused_calls
from comparison.checks.airflow.side import DOCS, Airflow, check
from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.datasets import DATASETS


@check("flow")
def flow(airflow: Airflow) -> Finding:
    """Airflow has exactly one DAG for each dataset and step, each with its version."""
    expected = {f"{name}_{step}" for name in DATASETS for step in ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres")}
    listed = airflow.api.call("GET", "/dags?tags=nyc-taxi&limit=100")["dags"]
    found = {dag["dag_id"]: dag for dag in listed if dag["bundle_name"] == "dags-folder"}
    assert set(found) - {"trips_yearly_rollup"} == expected
    files = {dag["relative_fileloc"] for dag in found.values()}
    run = airflow.month_run(airflow.to_gcs)
    assert run["dag_versions"][-1]["dag_id"] == airflow.to_gcs
    version = run["dag_versions"][-1]["version_number"]
    return BuiltIn(f"{len(found)} DAGs from {len(files)} files; the run records version {version} of its DAG")


@check("task")
def task(airflow: Airflow) -> Finding:
    """Each step has its own state, start, end and number of tries."""
    tasks = airflow.tasks(airflow.month_run(airflow.to_gcs))
    steps = ["wait_for_publication", "download", "to_parquet", "local_to_gcs", "remove_files"]
    assert [tasks[step]["state"] for step in steps] == ["success"] * len(steps)
    assert all(tasks[step]["duration"] > 0 and tasks[step]["try_number"] >= 1 for step in steps)
    return BuiltIn(f"{len(steps)} task instances, each with its state, times and tries")


@check("dependencies")
def dependencies(airflow: Airflow) -> Finding:
    """A step starts when the previous one has ended, and receives its return value: a path, not the rows."""
    run = airflow.month_run(airflow.to_gcs)
    tasks = airflow.tasks(run)
    chain = ["download", "to_parquet", "local_to_gcs"]
    for before, after in pairwise(chain):
        assert tasks[before]["end_date"] <= tasks[after]["start_date"]
    rendered = tasks["to_parquet"]["rendered_fields"]
    assert rendered["src"] == airflow.result(run, "download")
    assert airflow.result(run, "to_parquet") == airflow.ground.rows
    return BuiltIn("the graph is declared; `to_parquet` received the path that `download` returned, through XCom")


@check("parameters")
def parameters(airflow: Airflow) -> Finding:
    """An invalid month is refused before a run exists."""
    answer = refused(lambda: airflow.api.trigger(airflow.to_gcs, {"month": "2021-13"}), 400)
    assert "2021-13" in answer.text
    assert "2021-13" not in {run["conf"].get("month") for run in airflow.api.runs(airflow.to_gcs)}
    return BuiltIn("JSON schema in `Param`: `2021-13` is refused with HTTP 400, no run is created")


@check("typed_parameters")
def typed_parameters(airflow: Airflow) -> Finding:
    """A parameter that is declared as a date arrives as a date; what is no date is refused."""
    refused(lambda: airflow.api.trigger("typed", {"day": "2021-02-30"}), 400)
    kinds = airflow.result(airflow.run("typed", day="2021-02-28"), "load")
    assert kinds == ["str", "date"], f"the parameter itself is a {kinds[0]} now: change the note"
    return WithCode("`Param` checks that it is a date, but is a string; a template of ours makes a date object of it")


@check("subflows")
def subflows(airflow: Airflow) -> Finding:
    """Tasks can be grouped, and a task can run another DAG, wait for it, and take its result."""
    run = airflow.run("parent")
    tasks = airflow.tasks(run)
    assert (run["state"], tasks["prepare.create_table"]["state"]) == ("success", "success")
    child = airflow.api.run("child", airflow.result(run, "start_child", key="trigger_run_id"))
    assert (child["state"], child["triggered_by"], child["conf"]) == ("success", "operator", {"month": "2021-02"})
    assert child["end_date"] <= tasks["start_child"]["end_date"]
    assert airflow.result(run, "take_result") == "2021-02"
    return WithCode(
        "built in: a task group, and a task that runs another DAG and waits; a task of ours looks up its result in XCom"
    )


@check("mapping")
def mapping(airflow: Airflow) -> Finding:
    """There is one task instance for each month that an earlier task returned."""
    run = airflow.run("mapped")
    loads = [task for task in airflow.api.tasks("mapped", run["dag_run_id"]) if task["task_id"] == "load"]
    months = airflow.result(run, "list_months")
    assert [task["state"] for task in loads] == ["success"] * len(months)
    assert sorted(task["map_index"] for task in loads) == list(range(len(months)))
    return BuiltIn(
        f"`expand` made {len(loads)} from a list known only at run time. In the pipeline each month is a run instead"
    )


@check("providers")
def providers(airflow: Airflow) -> Finding:
    """Operators for Google Cloud come in a separate package, and the pipeline runs them."""
    found = {each["package_name"]: each for each in airflow.api.call("GET", "/providers?limit=100")["providers"]}
    google = found["apache-airflow-providers-google"]
    tasks = airflow.tasks(airflow.month_run(f"{airflow.ground.dataset}_gcs_to_bigquery"))
    names = ("create_table", "create_external_table", "drop_staging")
    assert {name: tasks[name]["operator_name"] for name in names} == {
        "create_table": "BigQueryInsertJobOperator",
        "create_external_table": "BigQueryCreateTableOperator",
        "drop_staging": "BigQueryInsertJobOperator",
    }
    return BuiltIn(
        f"google {google['version']}: [operators, hooks and sensors]({_GOOGLE}); "
        f"{len(names)} steps from the lake to BigQuery are its operators as they are"
    )


_GOOGLE = "https://airflow.apache.org/docs/apache-airflow-providers-google/stable/index.html"


@check("results")
def results(airflow: Airflow) -> Finding:
    """A task's return value can be read after its run."""
    rows = airflow.result(airflow.month_run(airflow.to_gcs), "to_parquet")
    assert rows == airflow.ground.rows
    return BuiltIn(
        "XCom, in the metadata database: for URIs and counts. [An XCom backend]"
        f"({DOCS}/core-concepts/xcoms.html) can keep it in a bucket"
    )


@check("transactions")
def transactions(airflow: Airflow) -> Finding:
    """Temporary objects are removed although the work fails."""
    run = airflow.run("tidied")
    states = {name: task["state"] for name, task in airflow.tasks(run).items()}
    assert run["state"] == "failed"
    assert states == {"create_staging": "success", "load": "failed", "drop_staging": "success"}
    refused(lambda: airflow.api.call("GET", "/variables/staging"), 404)  # created by the setup, removed by the teardown
    return BuiltIn(
        "setup and teardown tasks: the teardown ran and the run still failed; clearing a task [also clears its "
        f"setup]({DOCS}/howto/setup-and-teardown.html)"
    )


@check("testing")
def testing(airflow: Airflow) -> Finding:
    """A DAG runs to its end without a scheduler."""
    airflow.api.await_parsed(["in_new_york"], since="")
    before = len(airflow.api.runs("in_new_york"))  # paused, so that the scheduler starts no run of it
    done = airflow.airflow("dags", "test", "in_new_york", "2021-01-01")
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    assert len(airflow.api.runs("in_new_york")) == before + 1
    done = airflow.airflow("dags", "test", "in_new_york", "2021-01-01", **_without_database(airflow))
    assert done.returncode != 0, done.stdout[-1000:]
    assert "airflow db migrate" in done.stdout + done.stderr, done.stdout[-1000:] + done.stderr[-1000:]
    return BuiltIn("`dags test`: a run whose tasks start one after the other; it needs a metadata database")


def _without_database(airflow: Airflow) -> dict[str, str]:
    """The variable by which a command finds an empty metadata database."""
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow.ground.folder / 'empty.db'}"}


@check("control_flow")
def control_flow(airflow: Airflow) -> Finding:
    """A run decides at run time how often a step repeats; the graph of one run has no cycle."""
    airflow.run("until_empty", pages=2)
    runs = await_(
        lambda: found if len(found := airflow.api.runs("until_empty")) == 3 else None,
        "the DAG has run for each page",
    )
    for run in runs:
        assert airflow.end("until_empty", run["dag_run_id"]) == "success"
    assert sorted(run["conf"].get("page", 0) for run in runs) == [0, 1, 2]
    assert len(airflow.api.runs("until_empty")) == len(runs)
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, TaskGroup
    from airflow.sdk.exceptions import AirflowDagCycleException

    with DAG("loop", schedule=None) as loop:
        page = EmptyOperator(task_id="page")
        following = EmptyOperator(task_id="following")
        page >> following >> page
    refusal = None
    try:
        loop.check_cycle()
    except AirflowDagCycleException as error:
        refusal = str(error)
    assert refusal, "tasks can be repeated now: write the check"
    assert not {name for name in dir(TaskGroup) if "loop" in name}, "a group can be repeated now: write the check"
    return WithCode(
        f"a run has no cycle; a DAG of ours triggers itself until a page is empty: {len(runs)} runs for two pages"
    )


@check("checked_in_ci")
def checked_in_ci(airflow: Airflow) -> Finding:
    """One command fails if a DAG cannot be imported, and names it."""
    folder = airflow.ground.folder / "dags-of-a-commit"
    folder.mkdir()
    (folder / "broken.py").write_text("import nothing_there\nfrom airflow.sdk import dag\n")
    shutil.copy(REPOSITORY / "comparison" / "airflow_dags" / "examples.py", folder)
    words = ("dags", "list-import-errors", "--local", "--output", "json")
    told = airflow.airflow(*words, AIRFLOW__CORE__DAGS_FOLDER=str(folder))
    assert told.returncode == 1, told.stderr[-1000:]
    assert ("broken.py" in told.stdout, "examples.py" in told.stdout) == (True, False)
    (folder / "broken.py").unlink()
    told = airflow.airflow(*words, AIRFLOW__CORE__DAGS_FOLDER=str(folder))
    assert told.returncode == 0, told.stdout[-1000:] + told.stderr[-1000:]
    told = airflow.airflow(*words, AIRFLOW__CORE__DAGS_FOLDER=str(folder), **_without_database(airflow))
    assert told.returncode != 0, told.stdout[-1000:]
    assert "airflow db migrate" in told.stdout + told.stderr, told.stdout[-1000:] + told.stderr[-1000:]
    imported = subprocess.run(
        [sys.executable, "-c", _IMPORT, folder],
        env={**os.environ, **airflow.settings.environment(), **_without_database(airflow)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (imported.returncode, imported.stdout.splitlines()[-1:]) == (0, ["{}"]), imported.stderr[-1000:]
    return BuiltIn(
        "`airflow dags list-import-errors --local` imports the folder and fails; it needs a metadata database, "
        "a test with `DagBag` does not"
    )


_IMPORT = """
import sys
from airflow.dag_processing.dagbag import DagBag
found = DagBag(sys.argv[1])
assert found.dags
print(found.import_errors)
"""
_MYPY = "https://airflow.apache.org/docs/apache-airflow-mypy/stable/index.html"


@check("result_types")
def result_types(airflow: Airflow) -> Finding:
    """A type checker refuses a task that gets a result of another type, and only that."""
    calls = ("double(count())", "show(count())")
    declared = inspect.get_annotations(Task)["__call__"]
    assert declared == "Callable[FParams, XComArg]", f"a call of a task returns something else now: {declared}"
    found = refused_calls("airflow.sdk", airflow.ground.folder, *calls, plugin="airflow_mypy.plugins.outputs")
    assert not found, f"mypy knows the type with the plugin now: change the mark: {found}"
    return NotPossible(
        "a result is declared as an `XComArg`, whatever its task returns; with [the plugin of the project]"
        f"({_MYPY}), mypy refuses no task that takes it, not even one that takes another type"
    )


@check("edit_to_result")
def edit_to_result(airflow: Airflow) -> Finding:
    """An edited file runs at once with the same command, and stops in a debugger."""
    folder = airflow.ground.folder / "dropped_dags"
    folder.mkdir(exist_ok=True)
    env = airflow.settings.environment()
    told = edited.run("airflow", Path(sys.executable), folder, "one", env)
    assert "told one" in told, told[-1000:]
    told = edited.run("airflow", Path(sys.executable), folder, "two", env, stop=True)
    assert "('stopped at', 'two')" in told, told[-1000:]
    return BuiltIn(
        "`dag.test()` at the end of the file: the file is a program, whose tasks run in its process, so any debugger "
        "stops in them; like [`dags test`](#testing-a-dag--flow), it needs a metadata database"
    )


@check("ecosystem")
def ecosystem(airflow: Airflow) -> Finding:
    """The installed version names the packages of its project for other systems, those of the pipeline among them."""
    found = {
        name
        for name in extras("apache-airflow", "apache-airflow-providers-")
        if not name.startswith(("common-", "standard"))
    }
    assert {"google", "http", "postgres"} <= found
    return BuiltIn(
        f"{len(found)} packages `apache-airflow-providers-*` among the extras of {version('apache-airflow')}, on "
        f"{datetime.now(UTC):%Y-%m-%d}, without `common-*` and `standard`; those that others publish are not counted"
    )
