"""Finds the datasets that are complete for a year in a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from nyc_taxi.common.skip import skip
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.months import Month
from nyc_taxi.rollup.coverage import coverage
from nyc_taxi.stores import connect

if TYPE_CHECKING:
    from airflow.sdk import Context


class WholeYearsOperator(BaseOperator):
    """Find the datasets of which a store has every published month of a year.

    Reads only. A rerun asks the store again, with the months that must be published by then.

    Args:
        store: name of the store (templated).
        year: the year (templated).
        layout: the source's layout, which decides its first month (templated).
        last_month: the last month of a source that has ended; empty if it still publishes (templated).

    Returns:
        The names of the complete datasets.

    Raises:
        AirflowSkipException: no dataset is complete; the reason names the missing months of each.
    """

    template_fields: Sequence[str] = ("store", "year", "layout", "last_month")
    ui_color = "#e6f1f2"

    def __init__(self, *, store: str, year: str, layout: str, last_month: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.year = year
        self.layout = layout
        self.last_month = last_month

    def execute(self, context: Context) -> list[str]:
        began = context["ti"].start_date
        assert began is not None  # a task that executes has begun
        store = connect(self.store)
        found = coverage(
            year=int(self.year),
            layout=Layout(self.layout),
            last=Month.parse(self.last_month) if self.last_month else None,
            today=began.date(),
            loaded={dataset.name: store.available(dataset) for dataset in TRIP_DATASETS},
        )
        months = "; ".join(map(str, found))
        self.log.info("Months of %s in the %s: %s", self.year, store.asset, months)
        whole = [dataset.dataset for dataset in found if dataset.is_complete]
        if not whole:
            skip(context["ti"], f"No dataset is complete for {self.year} in the {store.asset}: {months}")
        return whole
