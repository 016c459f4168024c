"""Macros for the templates of the DAGs, in addition to Airflow's own; each store adds those of its SQL.

The task statements in ``include/sql`` use only these macros, so they do not depend on Airflow.

A DAG gets ``MACROS`` together with its dataset: ``user_defined_macros={"dataset": GREEN, **MACROS}``.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

import jinja2
from jinja2.runtime import Context

from nyc_taxi.dag_parts.params import refuse_unknown
from nyc_taxi.dag_parts.work_dir import run_folder, run_hash, try_folder
from nyc_taxi.parquet.provenance import provenance
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.model import PublishedFile, TripDataset
from nyc_taxi.registry.months import Month, resolve_month, resolve_year
from nyc_taxi.stores import STORES

# The TLC publishes a month about two months after its end, sometimes later. A scheduled run starts one month after it.
PUBLICATION_WAIT = timedelta(days=45)


@jinja2.pass_context
def file(context: Context) -> PublishedFile:
    """``{{ file() }}``: the published file of the run, with the names of its objects and tables in every store."""
    refuse_unknown(context.get_all())
    dataset = context["dataset"]
    return dataset.file(resolve_month(context.get_all())) if isinstance(dataset, TripDataset) else dataset.file()


@jinja2.pass_context
def year(context: Context) -> int:
    """``{{ year() }}``: the year of the run, in a DAG for whole years."""
    refuse_unknown(context.get_all())
    return resolve_year(context.get_all())


@jinja2.pass_context
def layout(context: Context) -> str:
    """``{{ layout() }}``: the layout of the source's files.

    Set it in the extra of the connection ``taxi_source``: ``{"layout": "tlc"}``. The default is ``mirror``.
    """
    return context["conn"].taxi_source.extra_dejson.get("layout", Layout.MIRROR.value)


@jinja2.pass_context
def last_month(context: Context) -> str:
    """``{{ last_month() }}``: the last month of a source that has ended, ``YYYY-MM``; empty if it still publishes.

    Set it in the extra of the connection ``taxi_source``: ``{"last_month": "2021-07"}``.
    """
    return context["conn"].taxi_source.extra_dejson.get("last_month", "")


@jinja2.pass_context
def source_path(context: Context) -> PurePosixPath:
    """``{{ source_path() }}``: the path of the run's file at the source, below its base URL."""
    return file(context).source_path(Layout(layout(context)))


@jinja2.pass_context
def source_provenance(context: Context) -> str:
    """``{{ source_provenance() }}``: the provenance of the run's Parquet; empty if the source states no version.

    The version is the one that ``wait_for_publication`` returned.
    """
    version = context["ti"].xcom_pull("wait_for_publication")
    return provenance(context["dataset"], source_path(context).name, version)


@jinja2.pass_context
def asked_at(context: Context) -> str:
    """``{{ asked_at() }}``: when ``wait_for_publication`` asked for the version that it returned; UTC, ISO 8601."""
    return context["ti"].xcom_pull("wait_for_publication", key="asked_at") or ""


@jinja2.pass_context
def publication_wait(context: Context) -> float:
    """``{{ publication_wait() }}``: how many seconds the run waits for its file.

    Scheduled runs wait for the seconds in the variable ``publication_wait_seconds``. All other runs do not wait: if
    the month that somebody asked for is not published, that is an error. Nor do runs wait for a month after the last
    month of a source that has ended.
    """
    month, last = file(context).month, last_month(context)
    if context["dag_run"].run_type != "scheduled" or (month and last and month > Month.parse(last)):
        return 0.0
    return float(context["var"]["value"].get("publication_wait_seconds", PUBLICATION_WAIT.total_seconds()))


@jinja2.pass_context
def run_dir(context: Context) -> str:
    """``{{ run_dir() }}``: the run's own folder in the work dir; no other run writes to it."""
    return run_folder(str(context["var"]["value"].work_dir), context["dag"].dag_id, context["run_id"])


@jinja2.pass_context
def try_dir(context: Context) -> str:
    """``{{ try_dir() }}``: the folder to which this try of ``download`` writes; in a bucket, no other try does."""
    return try_folder(run_dir(context), context["ti"].try_number)


@jinja2.pass_context
def parquet_path(context: Context) -> str:
    """``{{ parquet_path() }}``: the path or URI of the run's Parquet file, beside the download that it is made from."""
    downloaded = context["ti"].xcom_pull("download")
    folder = downloaded.rpartition("/")[0] if downloaded else run_dir(context)
    return f"{folder}/{file(context).parquet_name}"


@jinja2.pass_context
def staging_table(context: Context) -> str:
    """``{{ staging_table() }}``: a table name that no other run uses, such as ``green_2021_01_3f2a90c1d4``."""
    return f"{file(context).slug}_{run_hash(context['dag'].dag_id, context['run_id'])}"


@jinja2.pass_context
def new_staging(context: Context) -> str:
    """``{{ new_staging() }}``: the staging table of an SQL database that this try of the task loads."""
    return f"staging.{staging_table(context)}_{context['ti'].try_number}"


@jinja2.pass_context
def loaded_staging(context: Context) -> str:
    """``{{ loaded_staging() }}``: the staging table that the successful try of ``load_staging`` loaded."""
    return context["ti"].xcom_pull("load_staging")


@jinja2.pass_context
def converted_rows(context: Context) -> int:
    """``{{ converted_rows() }}``: the number of rows that ``to_parquet`` converted."""
    return context["ti"].xcom_pull("to_parquet")


@jinja2.pass_context
def downloaded_at(context: Context) -> str:
    """``{{ downloaded_at() }}``: when the source began to send the file that the run has downloaded; UTC, ISO 8601."""
    return context["ti"].xcom_pull("download", key="downloaded_at") or ""


@jinja2.pass_context
def run_started_at(context: Context) -> str:
    """``{{ run_started_at() }}``: when the run started that has downloaded the file, by the scheduler; ISO 8601."""
    return context["ti"].xcom_pull("download", key="run_started_at") or ""


@jinja2.pass_context
def loaded_object(context: Context) -> dict[str, Any]:
    """``{{ loaded_object() }}``: the ``generation`` and ``rows`` of the lake object that the run loaded."""
    return context["ti"].xcom_pull("load_staging")


@jinja2.pass_context
def whole_years(context: Context) -> list[str]:
    """``{{ whole_years() }}``: the datasets that are complete for the run's year, as ``check_months`` found them."""
    return context["ti"].xcom_pull("check_months")


MACROS = {
    "file": file,
    "year": year,
    "layout": layout,
    "last_month": last_month,
    "source_path": source_path,
    "source_provenance": source_provenance,
    "asked_at": asked_at,
    "publication_wait": publication_wait,
    "run_dir": run_dir,
    "try_dir": try_dir,
    "parquet_path": parquet_path,
    "staging_table": staging_table,
    "new_staging": new_staging,
    "loaded_staging": loaded_staging,
    "converted_rows": converted_rows,
    "downloaded_at": downloaded_at,
    "run_started_at": run_started_at,
    "loaded_object": loaded_object,
    "whole_years": whole_years,
    **{name: macro for store in STORES for name, macro in store.macros.items()},
}
