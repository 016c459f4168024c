"""The rendered templates of every task for one month, compared with reviewed golden files.

After an intended change, run ``python -m tests.dags.regenerate_golden`` and read the diff.
"""

from __future__ import annotations

import json
import re

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import AirflowRuntimeError

from nyc_taxi.dag_parts.params import ParameterError
from nyc_taxi.registry.model import ContractError
from nyc_taxi.registry.months import Month, MonthError
from tests.dags.rendering import DEPLOYMENT, GOLDEN, golden_key, golden_text, render, run_kinds
from tests.dags.test_integrity import DAG_IDS, FLOW_DAG_IDS, ROLLUP

TRIP_DAG_IDS = [dag_id for dag_id in FLOW_DAG_IDS if not dag_id.startswith("zones_")]


def test_there_is_one_golden_file_for_each_dag() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(f"{dag_id}.json" for dag_id in DAG_IDS)


@pytest.mark.parametrize("kind", ["partition_key", "params", "logical_date"])
@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_each_way_to_start_a_run_renders_the_golden_text(bag, dag_id: str, kind: str) -> None:
    dag = bag.dags[dag_id]
    text = golden_text(render(dag, **run_kinds(dag)[kind]))
    assert text == (GOLDEN / f"{dag_id}.json").read_text()


@pytest.mark.parametrize("month", ["2019-12", "2020-02"])
@pytest.mark.parametrize("dag_id", FLOW_DAG_IDS)
def test_another_month_differs_in_the_month_alone(bag, dag_id: str, month: str) -> None:
    year, number = month.split("-")
    expected = (GOLDEN / f"{dag_id}.json").read_text()
    for golden, other in (
        ("year=2021/month=01", f"year={year}/month={number}"),
        ("year = 2021 AND month = 1 ", f"year = {year} AND month = {int(number)} "),
        ("year = 2021 AND month = 1)", f"year = {year} AND month = {int(number)})"),
        ("2021-01", month),
        ("2021-02-01", str(Month.parse(month).next.first_day)),
        ("2021_01", f"{year}_{number}"),
        ("$202101", f"${year}{number}"),
    ):
        expected = expected.replace(golden, other)
    assert golden_text(render(bag.dags[dag_id], partition_key=month)) == expected


def test_another_year_differs_in_the_year_alone(bag) -> None:
    expected = (GOLDEN / f"{ROLLUP}.json").read_text().replace("2021", "2019")
    assert golden_text(render(bag.dags[ROLLUP], partition_key="2019")) == expected


@pytest.mark.parametrize("dag_id", [dag_id for dag_id in TRIP_DAG_IDS if "_web_to_" in dag_id])
def test_the_tlcs_layout_changes_the_sources_file_and_nothing_else(
    bag, dag_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dag_id.partition("_")[0]
    connection = {"conn_type": "http", "host": "https://golden.invalid", "extra": {"layout": "tlc"}}
    monkeypatch.setitem(DEPLOYMENT, "AIRFLOW_CONN_TAXI_SOURCE", json.dumps(connection))
    golden = (GOLDEN / f"{dag_id}.json").read_text()
    stem = f"{dataset}_tripdata_2021-01"
    expected = golden.replace(f"{dataset}/{stem}.csv.gz", f"trip-data/{stem}.parquet")
    expected = expected.replace(f"{stem}.csv.gz", f"{stem}.parquet")
    assert expected != golden
    assert golden_text(render(bag.dags[dag_id], partition_key="2021-01")) == expected


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_nothing_is_left_to_render(bag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    text = golden_text(render(dag, partition_key=golden_key(dag)))
    assert not re.search(r"\{\{|\}\}|\{%|%\}|\.sql\b|<[A-Za-z_.]+ object|XComArg|Undefined", text)


@pytest.mark.parametrize("dag_id", FLOW_DAG_IDS)
def test_another_run_of_the_month_uses_other_names_in_staging_and_in_the_work_dir(bag, dag_id: str) -> None:
    names = [
        set(re.findall(r"(?:staging\.|/golden/files/)\w[^\s\"'`]+", golden_text(render(bag.dags[dag_id], **run))))
        for run in (
            {"partition_key": "2021-01", "run_id": "one"},
            {"partition_key": "2021-01", "run_id": "two"},
        )
    ]
    assert names[0]
    assert not names[0] & names[1]


@pytest.mark.parametrize("dag_id", TRIP_DAG_IDS)
def test_a_run_without_a_month_says_so(bag, dag_id: str) -> None:
    with pytest.raises(MonthError, match=r"^the run has no month: start it with the parameter month"):
        render(bag.dags[dag_id])


def test_a_run_without_a_year_says_so(bag) -> None:
    with pytest.raises(MonthError, match=r"^the run has no year: start it with the parameter year"):
        render(bag.dags[ROLLUP])


@pytest.mark.parametrize("key", ["2021-01", "21", "0000", "2021\n"])
def test_a_partition_key_that_is_not_a_year_is_refused(bag, key: str) -> None:
    with pytest.raises(MonthError, match="is not a year"):
        render(bag.dags[ROLLUP], partition_key=key)


@pytest.mark.parametrize("dag_id", TRIP_DAG_IDS)
@pytest.mark.parametrize("key", ["2021-13", "../x", "2021-01\n"])
def test_a_partition_key_that_is_not_a_month_is_refused(bag, dag_id: str, key: str) -> None:
    with pytest.raises(MonthError, match="is not a month"):
        render(bag.dags[dag_id], partition_key=key)


@pytest.mark.parametrize("dag_id", TRIP_DAG_IDS)
def test_only_scheduled_runs_wait_for_publication(bag, dag_id: str) -> None:
    asked, scheduled = (
        render(bag.dags[dag_id], partition_key="2021-01", run_type=kind)
        for kind in (DagRunType.BACKFILL, DagRunType.SCHEDULED)
    )
    if "wait_for_publication" in asked:
        assert asked["wait_for_publication"].pop("wait_seconds") == "0.0"
        assert scheduled["wait_for_publication"].pop("wait_seconds") == "3888000.0"
    assert asked == scheduled


@pytest.mark.parametrize("dag_id", [dag_id for dag_id in TRIP_DAG_IDS if "_web_to_" in dag_id])
def test_a_month_before_the_source_begins_is_refused(bag, dag_id: str) -> None:
    with pytest.raises(ContractError, match=r"^no \w+ file for 2018-12: the source starts with 2019-0[12]$"):
        render(bag.dags[dag_id], partition_key="2018-12")


def test_a_deployment_without_a_lake_says_so(bag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DEPLOYMENT, "AIRFLOW_VAR_LAKE_BUCKET")
    with pytest.raises(AirflowRuntimeError, match="lake_bucket"):
        render(bag.dags["green_web_to_gcs"], partition_key="2021-01")


@pytest.mark.parametrize("dag_id", FLOW_DAG_IDS)
def test_force_turns_the_skip_off_and_changes_nothing_else(bag, dag_id: str) -> None:
    """Above all not the statement that publishes: a forced run that was overtaken must not replace newer rows."""
    dag = bag.dags[dag_id]
    conf = run_kinds(dag)["params"]["conf"]
    plain, forced = (render(dag, conf={**conf, "force": force}) for force in (False, True))
    assert (plain["skip_unchanged"].pop("force"), forced["skip_unchanged"].pop("force")) == ("False", "True")
    assert forced == plain


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_a_run_with_an_unknown_parameter_loads_nothing(bag, dag_id: str) -> None:
    """However it was started: the first task that would read or write a month fails."""
    dag = bag.dags[dag_id]
    for kind in run_kinds(dag).values():
        with pytest.raises(ParameterError, match=rf"^'forse' is no parameter of {dag_id}"):
            render(dag, **kind | {"conf": {**kind.get("conf", {}), "forse": True}})
