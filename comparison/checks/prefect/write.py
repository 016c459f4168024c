"""Checks of Prefect: how a pipeline is written."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import yaml
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import MissingResult
from prefect_gcp import bigquery, cloud_storage

from comparison import edited
from comparison.checks import BuiltIn, Finding, WithCode, await_, extras, refused, refused_calls
from comparison.checks.prefect.side import DOCS, Prefect, check, run_without_server
from comparison.prefect_flows import blocks, examples, importable
from comparison.prefect_flows.parameters import published_file
from local.cloud.settings import REPOSITORY


@check("flow")
def flow(prefect: Prefect) -> Finding:
    """A function is a flow; the server lists flows that have run or have a deployment."""
    expected = {"web-to-gcs", "gcs-to-bigquery", "web-to-postgres", "load-months"}
    found = {each["name"] for each in prefect.api.call("POST", "/flows/filter", limit=200)}
    assert expected <= found
    run = prefect.month_run("web-to-gcs")
    assert run["state_type"] == "COMPLETED"
    return BuiltIn(f"{len(expected)} flows for all datasets; a run is a call of the function")


@check("task")
def task(prefect: Prefect) -> Finding:
    """Each step has its own state, start, end and number of tries."""
    tasks = {each["name"].rpartition("-")[0]: each for each in prefect.api.tasks(prefect.month_run("web-to-gcs")["id"])}
    steps = ["find_version", "to_lake", "fetch", "convert", "upload"]
    assert [tasks[step]["state_type"] for step in steps] == ["COMPLETED"] * len(steps)
    assert all(tasks[step]["total_run_time"] > 0 and tasks[step]["run_count"] == 1 for step in steps)
    assert tasks["to_lake"]["start_time"] < tasks["fetch"]["start_time"]
    assert tasks["upload"]["end_time"] < tasks["to_lake"]["end_time"]
    return BuiltIn(f"{len(tasks)} task runs, each with its state, times and tries; a task can call tasks")


@check("dependencies")
def dependencies(prefect: Prefect) -> Finding:
    """A step starts when the previous one has ended, and receives its return value in memory."""
    run = prefect.month_run("web-to-gcs")
    tasks = {each["name"].rpartition("-")[0]: each for each in prefect.api.tasks(run["id"])}
    chain = ["fetch", "convert", "upload"]
    for before, after in pairwise(chain):
        assert tasks[before]["end_time"] <= tasks[after]["start_time"]
    assert {"input_type": "task_run", "id": tasks["fetch"]["id"]} in tasks["convert"]["task_inputs"]["version"]
    return BuiltIn(
        f"the Python code sets the order; values are passed [in memory]({DOCS}/advanced/results), and the server "
        "records where each came from"
    )


@check("parameters")
def parameters(prefect: Prefect) -> Finding:
    """An invalid month is refused before a run exists."""
    answer = refused(lambda: prefect.api.start("web-to-gcs/green", parameters={"month": "2021-13"}), 409, 422)
    assert "2021-13" in answer.text
    runs = prefect.api.runs(flows={"name": {"any_": ["web-to-gcs"]}})
    assert "2021-13" not in {run["parameters"].get("month") for run in runs}
    return BuiltIn(
        f"pydantic types in the signature: `2021-13` is refused with HTTP {answer.status_code}, no run is created"
    )


@check("typed_parameters", alone=True)
def typed_parameters(prefect: Prefect) -> Finding:
    """A parameter that is declared as a date arrives as a date."""
    assert examples.typed(day="2021-02-28") == "February"  # type: ignore[arg-type]
    return BuiltIn(
        "a string became the `date` that the signature declares; [pydantic models work "
        f"too]({DOCS}/how-to-guides/workflows/pass-inputs)"
    )


@check("subflows", alone=True)
def subflows(prefect: Prefect) -> Finding:
    """A flow calls another flow and receives its return value."""
    assert examples.parent() == "2021-02"
    run, child = prefect.called("parent"), prefect.called("child")
    [task] = [each for each in prefect.api.tasks(run["id"]) if each["id"] == child["parent_task_run_id"]]
    assert child["parameters"] == {"month": "2021-02"}
    return BuiltIn(
        f"an ordinary call that returns a value; on the server it is a run of its own below `{task['name']}`"
    )


@check("mapping", alone=True)
def mapping(prefect: Prefect) -> Finding:
    """There is one task run for each month that an earlier task returned."""
    assert examples.mapped() == examples.MONTHS
    run, count = prefect.called("mapped"), len(examples.MONTHS)

    def loads() -> list[str]:
        return [each["id"] for each in prefect.api.tasks(run["id"]) if each["name"].startswith("load-")]

    await_(lambda: len(loads()) == count, f"the server has {count} task runs")
    return BuiltIn(
        f"`map` made {count} task runs from a list known only at run time, [in threads]({DOCS}/concepts/task-runners); "
        "the pipeline maps its months"
    )


@check("providers")
def providers(prefect: Prefect) -> Finding:
    """Blocks and tasks for Google Cloud come in a separate package, and the flows use them."""
    found = {each["slug"] for each in prefect.api.call("POST", "/block_types/filter", limit=200)}
    assert {"gcp-credentials", "gcs-bucket", "bigquery-warehouse"} <= found
    run = prefect.month_run("gcs-to-bigquery")
    names = {each["name"].rpartition("-")[0] for each in prefect.api.tasks(run["id"])}
    assert {"bigquery_query", "bigquery_load_cloud_storage"} <= names, names
    assert _rows_of_external_table(prefect) == [prefect.ground.rows] * 2
    assert callable(cloud_storage.cloud_storage_upload_blob_from_file)
    assert not [name for name in dir(bigquery) if "check" in name], "there are checks of tables now: use them"
    return BuiltIn(
        f"prefect-gcp {version('prefect-gcp')}: blocks, and tasks for objects, loads, queries, also into a table, and "
        "tables, also external ones; no checks of tables, which are our own code"
    )


def _rows_of_external_table(prefect: Prefect) -> list[int]:
    """Count the month in an external table over the lake, into a table; both are made by tasks of the collection.

    Returns:
        The count that the query returned, and the one in its destination.
    """
    from google.cloud.bigquery import ExternalConfig
    from prefect_gcp.bigquery import bigquery_create_table, bigquery_query

    lake = blocks.lake()
    credentials = lake.gcp_credentials
    file = published_file(prefect.ground.dataset, prefect.ground.month)  # type: ignore[arg-type]
    external = ExternalConfig("PARQUET")
    external.autodetect, external.source_uris = True, [f"gs://{lake.bucket}/{file.lake_object}"]
    create, query = (each.with_options(cache_policy=NO_CACHE) for each in (bigquery_create_table, bigquery_query))
    create("trips_staging", "compared_external", credentials, external_config=external)
    count = "SELECT COUNT(*) AS trips FROM trips_staging.compared_external"
    [returned] = query(count, credentials, dataset="trips_staging", table="compared_count")
    [kept] = query("SELECT trips FROM trips_staging.compared_count", credentials)
    client = credentials.get_bigquery_client()
    for table in ("compared_external", "compared_count"):
        client.delete_table(f"{client.project}.trips_staging.{table}")
    return [returned["trips"], kept["trips"]]


@check("results", alone=True)
def results(prefect: Prefect) -> Finding:
    """A task's return value can be read after its run."""
    from prefect.client.orchestration import get_client

    run = prefect.month_run("web-to-gcs")
    [to_lake] = [each for each in prefect.api.tasks(run["id"]) if each["name"].startswith("to_lake")]
    with get_client(sync_client=True) as client:
        state = client.read_task_run(to_lake["id"]).state
        assert state is not None
        value = state.result(raise_on_failure=False)
    name = published_file(prefect.ground.dataset, prefect.ground.month).lake_object  # type: ignore[arg-type]
    assert value == f"gs://{os.environ['LAKE_BUCKET']}/{name}"
    [convert] = [each for each in prefect.api.tasks(run["id"]) if each["name"].startswith("convert")]
    with get_client(sync_client=True) as client:
        state = client.read_task_run(convert["id"]).state
        assert state is not None
        try:
            kept = state.result()
        except (MissingResult, ValueError):  # of no result, and of one that has no file
            kept = None
    assert kept is None, "results are kept by default now: change the note"
    return BuiltIn(
        "off by default; with `persist_result` [or other settings, also of a server]"
        f"({DOCS}/advanced/results) a file in a folder or bucket, for values that can be serialized"
    )


@check("transactions", alone=True)
def transactions(prefect: Prefect) -> Finding:
    """Temporary objects are removed although the work fails."""
    from prefect.variables import Variable

    assert examples.tidied(return_state=True).is_failed()
    assert Variable.get("staging") is None
    run = prefect.called("tidied")

    def states() -> list[str]:
        return [each["state_name"] for each in prefect.api.tasks(run["id"])]

    await_(lambda: states() == ["RolledBack"], "the server has the task as rolled back", timeout=15)
    return BuiltIn("`with transaction()`: the rollback hook of the completed task ran, and the run still failed")


@check("testing")
def testing(prefect: Prefect) -> Finding:
    """A flow runs to its end in a test, without the server."""
    program = (
        "from prefect.testing.utilities import prefect_test_harness\n"
        "from comparison.prefect_flows.examples import child, mapped\n"
        "assert child.fn('2021-03') == '2021-03'\n"
        "with prefect_test_harness(server_startup_timeout=120):\n    assert len(mapped()) == 3\nprint('passed')\n"
    )
    assert "passed" in run_without_server(program, home=prefect.ground.folder / "tested")
    return BuiltIn(
        "call the function (`.fn` without Prefect), or run it in [a test harness with its own "
        f"database]({DOCS}/how-to-guides/workflows/test-workflows)"
    )


@check("control_flow", alone=True)
def control_flow(prefect: Prefect) -> Finding:
    """A run decides at run time how often a step repeats."""
    assert [examples.until_empty(pages) for pages in (2, 4)] == [2, 4]
    run = prefect.called("until-empty")
    await_(lambda: len(prefect.api.tasks(run["id"])) == 5, "the server has five task runs")
    return BuiltIn("an ordinary `while`: 3 task runs for two pages, 5 for four")


@check("checked_in_ci")
def checked_in_ci(prefect: Prefect) -> Finding:
    """One command fails if a flow cannot be imported, and names it."""
    folder = prefect.ground.folder / "flows-of-a-commit"
    folder.mkdir()
    good = "from prefect import flow\n\n\n@flow\ndef {name}() -> None: ...\n"
    (folder / "good.py").write_text(good.format(name="good"))
    (folder / "broken.py").write_text("import nothing_there\n" + good.format(name="broken"))
    plan = {"deployments": [{"name": "ci", "entrypoint": f"{name}.py:{name}"} for name in ("good", "broken")]}
    (folder / "prefect.yaml").write_text(yaml.safe_dump(plan))
    found = importable.broken(folder / "prefect.yaml", folder=folder)
    assert list(found) == ["broken.py:broken"]
    assert "nothing_there" in found["broken.py:broken"]
    plans = (REPOSITORY / "comparison" / "prefect_flows").glob("*.yaml")
    assert [path.name for path in plans if importable.broken(path, folder=REPOSITORY)] == []
    pool = {"work_pool": {"name": "nobody"}}
    deployed = {"deployments": [each | pool for each in plan["deployments"]]}
    (folder / "prefect.yaml").write_text(yaml.safe_dump(deployed))
    done = prefect.prefect("deploy", "--all", cwd=folder)
    assert done.returncode == 0, f"prefect deploy refuses it now: change the note: {done.stdout[-1000:]}"
    return WithCode(
        "a function of ours imports the entrypoint of each deployment; `prefect deploy` takes a flow that cannot be "
        "imported"
    )


@check("result_types")
def result_types(prefect: Prefect) -> Finding:
    """A type checker refuses a task that gets a result of another type, and only that."""
    wrong = ("show(count())", "show(count.submit().result())")
    right = ("double(count())", "double(count.submit().result())")
    found = refused_calls("prefect", prefect.ground.folder, *right, *wrong)
    assert found == sorted(wrong)
    return BuiltIn("a call of a task has the type of its result, for mypy too, and so has `submit().result()`")


@check("edit_to_result")
def edit_to_result(prefect: Prefect) -> Finding:
    """An edited file runs at once with the same command, and stops in a debugger."""
    told = edited.run("prefect", Path(sys.executable), prefect.ground.folder, "one", {})
    assert "told one" in told, told[-1000:]
    told = edited.run("prefect", Path(sys.executable), prefect.ground.folder, "two", {}, stop=True)
    assert "('stopped at', 'two')" in told, told[-1000:]
    return BuiltIn(
        "a call of the flow at the end of the file: the file is a program, whose tasks run in its process, so any "
        "debugger stops in them; with a server if one is set, or else a temporary one"
    )


@check("ecosystem")
def ecosystem(prefect: Prefect) -> Finding:
    """The installed version names the packages of its project for other systems, those of the pipeline among them."""
    found = {name for name in extras("prefect", "prefect-") if not name.startswith("client")}
    assert {"docker", "gcp", "sqlalchemy"} <= found
    return BuiltIn(
        f"{len(found)} packages `prefect-*` among the extras of {version('prefect')}, on {datetime.now(UTC):%Y-%m-%d}; "
        "those that others publish are not counted"
    )
