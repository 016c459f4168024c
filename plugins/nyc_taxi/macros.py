"""What the DAGs' templates can say, beside Airflow's own macros.

``MACROS`` goes into a DAG together with its dataset: ``user_defined_macros={"dataset": GREEN, **MACROS}``.
"""

from __future__ import annotations

import hashlib
import re

import jinja2
from jinja2.runtime import Context

from nyc_taxi import schema
from nyc_taxi.datasets import PublishedFile, TripDataset
from nyc_taxi.months import resolve_month


@jinja2.pass_context
def file(context: Context) -> PublishedFile:
    """``{{ file() }}``: the published file that the run is for, with the names of what becomes of it."""
    dataset = context["dataset"]
    return dataset.file(resolve_month(context.get_all())) if isinstance(dataset, TripDataset) else dataset.file()


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


def _run_hash(context: Context) -> str:
    return hashlib.sha256(f"{context['dag'].dag_id}/{context['run_id']}".encode()).hexdigest()[:10]


MACROS = {
    "file": file,
    "run_dir": run_dir,
    "staging_table": staging_table,
    "bigquery_type": schema.bigquery_type,
    "postgres_type": schema.postgres_type,
}
