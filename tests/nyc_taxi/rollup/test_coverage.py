"""The rollup: which datasets are complete for a year, and the schedule, parameter and asset of its DAG."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException, ParamValidationError
from airflow.serialization.encoders import encode_timetable

from nyc_taxi.dag_parts.assets import store_asset, updates_year, yearly_rollup_asset
from nyc_taxi.dag_parts.defaults import yearly_dag_args
from nyc_taxi.dag_parts.macros import MACROS
from nyc_taxi.dag_parts.params import year_params
from nyc_taxi.dag_parts.schedules import on_update_of_a_month
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import FHV, GREEN, TRIP_DATASETS
from nyc_taxi.registry.months import Month, MonthError
from nyc_taxi.rollup import whole_years
from nyc_taxi.rollup.coverage import Coverage, coverage
from nyc_taxi.rollup.whole_years import WholeYearsOperator
from nyc_taxi.stores.bigquery.store import BigQueryStore
from tests.nyc_taxi.support import announced

TODAY = datetime.date(2026, 11, 25)


def _months(year: int, *months: int) -> frozenset[Month | None]:
    return frozenset(Month(year, month) for month in months)


def _loaded(**loaded: frozenset[Month | None]) -> dict[str, frozenset[Month | None]]:
    """Return the months that a store has, keyed by dataset; datasets that are not given have none."""
    return {dataset.name: loaded.get(dataset.name, frozenset()) for dataset in TRIP_DATASETS}


def _coverage(
    dataset: str,
    year: int,
    *,
    layout: Layout = Layout.MIRROR,
    last: Month | None = None,
    today: datetime.date = TODAY,
    **loaded: frozenset[Month | None],
) -> Coverage:
    last = last or (Month(2021, 7) if layout is Layout.MIRROR else None)
    found = coverage(year=year, layout=layout, last=last, today=today, loaded=_loaded(**loaded))
    assert [of_one.dataset for of_one in found] == ["yellow", "green", "fhv", "fhvhv"]
    return next(of_one for of_one in found if of_one.dataset == dataset)


# Published months


@pytest.mark.parametrize(
    ("dataset", "layout", "year", "first", "last"),
    [
        ("green", Layout.MIRROR, 2019, 1, 12),
        ("fhvhv", Layout.MIRROR, 2019, 2, 12),
        ("green", Layout.MIRROR, 2020, 1, 12),
        ("green", Layout.MIRROR, 2021, 1, 7),
        ("fhvhv", Layout.TLC, 2019, 2, 12),
        ("green", Layout.TLC, 2021, 1, 12),
        ("green", Layout.TLC, 2025, 1, 12),
        ("green", Layout.TLC, 2026, 1, 8),
    ],
)
def test_a_year_has_the_months_that_its_source_has_published(
    dataset: str, layout: Layout, year: int, first: int, last: int
) -> None:
    published = _coverage(dataset, year, layout=layout).published
    assert published == tuple(Month(year, month) for month in range(first, last + 1))


@pytest.mark.parametrize(
    ("layout", "year"), [(Layout.MIRROR, 2018), (Layout.MIRROR, 2022), (Layout.TLC, 2013), (Layout.TLC, 2027)]
)
def test_a_year_may_have_no_months(layout: Layout, year: int) -> None:
    nothing = _coverage("green", year, layout=layout)
    assert nothing.published == ()
    assert not nothing.is_complete
    assert str(nothing) == "green 0 of 0 (the source has none)"


def test_in_the_first_months_of_a_year_the_last_ones_of_the_year_before_are_not_due_yet() -> None:
    january = datetime.date(2026, 1, 31)
    assert len(_coverage("green", 2025, layout=Layout.TLC, today=january).published) == 10
    assert _coverage("green", 2026, layout=Layout.TLC, today=january).published == ()


# Completeness


def test_a_year_is_complete_when_no_month_is_missing() -> None:
    whole = _coverage("green", 2021, green=_months(2021, *range(1, 8)))
    assert whole.is_complete
    assert whole.missing == ()
    assert str(whole) == "green 7 of 7"


@pytest.mark.parametrize(
    ("loaded", "text"),
    [
        ((), "green 0 of 7 (missing: 2021-01 to 2021-07)"),
        ((1,), "green 1 of 7 (missing: 2021-02 to 2021-07)"),
        ((1, 2, 3, 4, 5, 6), "green 6 of 7 (missing: 2021-07)"),
        ((2, 4, 5, 6), "green 4 of 7 (missing: 2021-01, 2021-03, 2021-07)"),
        ((3, 4, 7), "green 3 of 7 (missing: 2021-01 to 2021-02, 2021-05 to 2021-06)"),
    ],
)
def test_the_text_names_the_missing_months(loaded: tuple[int, ...], text: str) -> None:
    part = _coverage("green", 2021, green=_months(2021, *loaded))
    assert not part.is_complete
    assert str(part) == text


def test_months_of_another_dataset_or_year_do_not_count() -> None:
    others = {"yellow": _months(2021, *range(1, 8)), "green": _months(2020, *range(1, 13))}
    assert _coverage("green", 2021, **others).loaded == frozenset()


def test_a_store_with_more_months_than_published_is_complete() -> None:
    twelve = _coverage("green", 2021, green=_months(2021, *range(1, 13)))
    assert str(twelve) == "green 7 of 7"
    assert twelve.is_complete


@pytest.mark.parametrize(("layout", "year"), [(Layout.MIRROR, 2022), (Layout.TLC, 2027)])
def test_a_year_without_published_months_is_never_complete(layout: Layout, year: int) -> None:
    early = _coverage("green", year, layout=layout, today=datetime.date(2027, 3, 20), green=_months(year, 1))
    assert early.published == ()
    assert not early.is_complete


def test_a_source_in_the_mirrors_layout_may_still_publish() -> None:
    loaded = _loaded(green=_months(2022, 1))
    found = coverage(year=2022, layout=Layout.MIRROR, last=None, today=TODAY, loaded=loaded)
    green = next(of_one for of_one in found if of_one.dataset == "green")
    assert str(green) == "green 1 of 12 (missing: 2022-02 to 2022-12)"
    assert not green.is_complete


# WholeYearsOperator


def _execute(
    monkeypatch: pytest.MonkeyPatch,
    loaded: dict[str, frozenset[Month | None]],
    *,
    year: str,
    layout: str,
    pushed: dict[str, str] | None = None,
) -> list[str]:
    warehouse = SimpleNamespace(asset="warehouse", available=lambda dataset: loaded[dataset.name])
    monkeypatch.setattr(whole_years, "connect", {"bigquery": warehouse}.__getitem__)
    began = datetime.datetime.combine(TODAY, datetime.time(12), datetime.UTC)
    task = WholeYearsOperator(task_id="check_months", store="bigquery", year=year, layout=layout)
    told = {} if pushed is None else pushed
    ti = SimpleNamespace(start_date=began, xcom_push=lambda key, value: told.update({key: value}))
    return task.execute({"ti": ti})  # type: ignore[typeddict-item]


def test_the_task_names_the_datasets_that_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = _loaded(fhv=_months(2026, *range(1, 9)), yellow=_months(2026, *range(1, 10)), green=_months(2026, 1, 2))
    assert _execute(monkeypatch, loaded, year="2026", layout="tlc") == ["yellow", "fhv"]


def test_the_task_is_skipped_with_a_reason_when_none_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = _loaded(green=_months(2019, 1, 2, 3), fhvhv=_months(2019, *range(3, 13)))
    pushed: dict[str, str] = {}
    with pytest.raises(AirflowSkipException) as skipped:
        _execute(monkeypatch, loaded, year="2019", layout="mirror", pushed=pushed)
    assert pushed == {"skip_reason": str(skipped.value)}
    assert str(skipped.value) == (
        "No dataset is complete for 2019 in the warehouse: yellow 0 of 12 (missing: 2019-01 to 2019-12); "
        "green 3 of 12 (missing: 2019-04 to 2019-12); fhv 0 of 12 (missing: 2019-01 to 2019-12); "
        "fhvhv 10 of 11 (missing: 2019-02)"
    )


# Parts of the DAG


def _render(template: str, **differences: Any) -> str:
    run = SimpleNamespace(partition_key="2021", logical_date=None)
    context = {"dag_run": run, "dag": SimpleNamespace(dag_id="trips_yearly_rollup", params={}), "params": {}}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.globals.update(MACROS)
    return environment.from_string(template).render(**{**context, **differences})


def test_templates_know_the_year_the_layout_and_the_last_month() -> None:
    assert _render("yearly_rollup${{ year() }}") == "yearly_rollup$2021"
    for extra, layout, last in (({}, "mirror", ""), ({"layout": "tlc", "last_month": "2021-07"}, "tlc", "2021-07")):
        conn = SimpleNamespace(taxi_source=SimpleNamespace(extra_dejson=extra))
        assert _render("{{ layout() }}", conn=conn) == layout
        assert _render("{{ last_month() }}", conn=conn) == last


def test_the_year_is_a_parameter() -> None:
    param = year_params()["year"]
    assert param.value is None
    assert param.resolve("2021") == "2021"
    for wrong in ("2021-01", "21", "0999", " 2021", 2021):
        with pytest.raises(ParamValidationError):
            param.resolve(wrong)


def test_every_month_of_every_asset_starts_a_run_for_its_year() -> None:
    encoded = encode_timetable(on_update_of_a_month(store_asset(BigQueryStore, GREEN), store_asset(BigQueryStore, FHV)))
    variables = encoded["__var"]
    assert variables["asset_condition"]["__type"] == "asset_any"
    assert [asset["name"] for asset in variables["asset_condition"]["objects"]] == ["warehouse_green", "warehouse_fhv"]
    mapper = variables["default_partition_mapper"]["__var"]
    assert mapper["wait_policy"]["__var"] == {"n": 1}
    assert mapper["upstream_mapper"]["__var"]["input_format"] == "%Y-%m"


def test_runs_execute_one_at_a_time() -> None:
    args = yearly_dag_args()
    assert args["max_active_runs"] == 1
    assert args["user_defined_macros"]["trip_datasets"] is TRIP_DATASETS


def _announce(partition_key: str | None, year: str | None) -> list[tuple[str, str]]:
    return announced(updates_year(yearly_rollup_asset()), partition_key, {"year": year})


def test_a_run_started_by_hand_announces_its_year() -> None:
    assert yearly_rollup_asset() == Asset(name="warehouse_yearly_rollup", group="warehouse")
    assert updates_year(yearly_rollup_asset())["outlets"] == [yearly_rollup_asset()]
    assert _announce(None, "2021") == [("warehouse_yearly_rollup", "2021")]
    assert _announce("2021", None) == []
    with pytest.raises(MonthError):
        _announce(None, None)
