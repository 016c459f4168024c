"""What the DAGs' templates can say, beside Airflow's own macros.

The statements in ``include/sql`` use these alone, so that they know nothing of Airflow.

``MACROS`` goes into a DAG together with its dataset: ``user_defined_macros={"dataset": GREEN, **MACROS}``.
"""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

import jinja2
from jinja2.runtime import Context

from nyc_taxi.parquet.provenance import provenance
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.model import PublishedFile, TripDataset
from nyc_taxi.registry.months import Month, resolve_month, resolve_year
from nyc_taxi.stores.bigquery.schema import bigquery_columns, bigquery_text, bigquery_type
from nyc_taxi.stores.postgres.schema import postgres_type

# The TLC publishes about two months late, some months later than that; a scheduled run comes after one month.
PUBLICATION_WAIT = timedelta(days=45)


@jinja2.pass_context
def file(context: Context) -> PublishedFile:
    """``{{ file() }}``: the published file that the run is for, with the names of what becomes of it."""
    dataset = context["dataset"]
    return dataset.file(resolve_month(context.get_all())) if isinstance(dataset, TripDataset) else dataset.file()


@jinja2.pass_context
def year(context: Context) -> int:
    """``{{ year() }}``: the year that the run is for, in a DAG for whole years."""
    return resolve_year(context.get_all())


@jinja2.pass_context
def layout(context: Context) -> str:
    """``{{ layout() }}``: how the source lays out its files.

    The connection ``taxi_source`` says it in its extra: ``{"layout": "tlc"}``; it is the mirror's if it does not.
    """
    return context["conn"].taxi_source.extra_dejson.get("layout", Layout.MIRROR.value)


@jinja2.pass_context
def last_month(context: Context) -> str:
    """``{{ last_month() }}``: the last month that the source has, ``YYYY-MM``; empty if it goes on publishing.

    The connection ``taxi_source`` says it in its extra: ``{"last_month": "2021-07"}``.
    """
    return context["conn"].taxi_source.extra_dejson.get("last_month", "")


@jinja2.pass_context
def source_path(context: Context) -> PurePosixPath:
    """``{{ source_path() }}``: where the source serves that file, below its base URL."""
    return file(context).source_path(Layout(layout(context)))


@jinja2.pass_context
def source_provenance(context: Context) -> str:
    """``{{ source_provenance() }}``: what the run's Parquet is made from; empty if the source tells no version.

    The version is that which ``wait_for_publication`` saw.
    """
    version = context["ti"].xcom_pull("wait_for_publication")
    return provenance(context["dataset"], source_path(context).name, version)


@jinja2.pass_context
def publication_wait(context: Context) -> float:
    """``{{ publication_wait() }}``: for how many seconds the run waits for its file.

    The clock's runs wait, as long as the variable ``publication_wait_seconds`` says. A month that somebody asks for is
    there, or that is an error; so is one that lies behind the last of a source that has ended.
    """
    month, last = file(context).month, last_month(context)
    if context["dag_run"].run_type != "scheduled" or (month and last and month > Month.parse(last)):
        return 0.0
    return float(context["var"]["value"].get("publication_wait_seconds", PUBLICATION_WAIT.total_seconds()))


@jinja2.pass_context
def run_dir(context: Context) -> str:
    """``{{ run_dir() }}``: the run's own folder in the work dir; no other run writes there."""
    # The hash keeps apart what the readable part does not, and makes a folder of a run called "..".
    run = re.sub(r"[^\w.-]+", "_", context["run_id"])[:100]
    work_dir = str(context["var"]["value"].work_dir).rstrip("/")
    return f"{work_dir}/{context['dag'].dag_id}/{run}-{_run_hash(context)}"


@jinja2.pass_context
def staging_table(context: Context) -> str:
    """``{{ staging_table() }}``: a table name that no other run uses, such as ``green_2021_01_3f2a90c1d4``."""
    return f"{file(context).slug}_{_run_hash(context)}"


@jinja2.pass_context
def new_staging(context: Context) -> str:
    """``{{ new_staging() }}``: the Postgres table that this try of the task loads into."""
    return f"staging.{staging_table(context)}_{context['ti'].try_number}"


@jinja2.pass_context
def loaded_staging(context: Context) -> str:
    """``{{ loaded_staging() }}``: the Postgres table that the run has loaded, by the try that succeeded."""
    return context["ti"].xcom_pull("load_staging")


@jinja2.pass_context
def converted_rows(context: Context) -> int:
    """``{{ converted_rows() }}``: how many rows the run's file has."""
    return context["ti"].xcom_pull("to_parquet")


@jinja2.pass_context
def loaded_object(context: Context) -> dict[str, Any]:
    """``{{ loaded_object() }}``: the ``generation`` and ``rows`` of the lake's object that the run has loaded."""
    return context["ti"].xcom_pull("load_staging")


@jinja2.pass_context
def whole_years(context: Context) -> list[str]:
    """``{{ whole_years() }}``: the datasets of which all months of the run's year are there."""
    return context["ti"].xcom_pull("check_months")


def _run_hash(context: Context) -> str:
    return hashlib.sha256(f"{context['dag'].dag_id}/{context['run_id']}".encode()).hexdigest()[:10]


MACROS = {
    "file": file,
    "year": year,
    "layout": layout,
    "last_month": last_month,
    "source_path": source_path,
    "source_provenance": source_provenance,
    "publication_wait": publication_wait,
    "run_dir": run_dir,
    "staging_table": staging_table,
    "new_staging": new_staging,
    "loaded_staging": loaded_staging,
    "converted_rows": converted_rows,
    "loaded_object": loaded_object,
    "whole_years": whole_years,
    "bigquery_columns": bigquery_columns,
    "bigquery_text": bigquery_text,
    "bigquery_type": bigquery_type,
    "postgres_type": postgres_type,
}
