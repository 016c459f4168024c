"""What a backfill uses of BigQuery's daily limits, and the quota of a project that bounds what its queries read.

https://cloud.google.com/bigquery/quotas has the limits. They are the same for all projects, but for the quota of what
queries read, which a project may lower: https://cloud.google.com/bigquery/docs/custom-quotas
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from local.airflow.gcp_finding import NOTE, OK, WRONG, Finding, said
from local.airflow.gcp_forecast import MILLIONS, YEARS, Forecast, size

if TYPE_CHECKING:
    import requests
    from google.auth.credentials import Credentials

# Per day, as of September 2026.
LOAD_JOBS, LOAD_JOBS_OF_A_TABLE, PARTITIONS_OF_A_TABLE = 100_000, 1_500, 30_000
SERVICE, METRIC = "bigquery.googleapis.com", "bigquery.googleapis.com/quota/query/usage"
PER_PROJECT, PER_USER = "1/d/{project}", "1/d/{project}/{user}"
_BYTES = {"MiBy": 2**20, "By": 1}
# Google's word for no limit is the largest number of 64 bits, or -1.
_UNLIMITED = 2**63 - 1
_SECONDS = 10.0


def limits() -> Finding:
    """Return what a backfill of many years uses of the limits that are the same for all projects."""
    months = 12 * YEARS * len(MILLIONS)
    # A staging table has one load job; the yearly rollup is the table that changes most, once for each month.
    return Finding(
        OK,
        "limits",
        f"{YEARS} years of {len(MILLIONS)} datasets in one day are {months} of {LOAD_JOBS:,} load jobs, 1 of "
        f"{LOAD_JOBS_OF_A_TABLE:,} into one table, and at most {months} of {PARTITIONS_OF_A_TABLE:,} changes of the "
        "partitions of one table",
    )


def quota(project: str, credentials: Credentials, largest: Forecast, all_years: Forecast) -> Finding:
    """Return how much the queries of a project may read in a day, beside what the pipeline reads.

    Args:
        project: id of the project.
        credentials: those of the account that asks.
        largest: the month whose queries read most.
        all_years: a backfill of many years.
    """
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError

    try:
        metric = _metric(project, credentials)
        allowed = {unit: _allowed(metric, unit) for unit in (PER_PROJECT, PER_USER)}
    except GoogleAPICallError as error:
        return Finding(
            NOTE, "quota", f"what queries may read in a day is not known: {said(error)}; {_do(error, project)}"
        )
    except (GoogleAuthError, OSError, ValueError) as error:
        return Finding(NOTE, "quota", f"what queries may read in a day is not known: {said(error)}")
    return _compared(allowed, largest, all_years)


def _metric(project: str, credentials: Credentials) -> Any:
    """Ask the Service Usage API for the quota of what queries read; changes nothing."""
    from google.api_core.exceptions import from_http_response
    from google.auth.transport.requests import AuthorizedSession

    name = f"projects/{project}/services/{SERVICE}/consumerQuotaMetrics/{quote(METRIC, safe='')}"
    with AuthorizedSession(credentials) as session:
        answer: requests.Response = session.get(
            f"https://serviceusage.googleapis.com/v1beta1/{name}", params={"view": "FULL"}, timeout=_SECONDS
        )
    if not answer.ok:
        raise from_http_response(answer)
    return answer.json()


def _allowed(metric: Any, unit: str) -> int | None:
    """Return the bytes a day that a limit allows; None for no limit.

    Raises:
        ValueError: the answer has another unit than Google's pages say.
    """
    if (of_unit := _BYTES.get(metric.get("unit", ""))) is None:
        raise ValueError(f"Google tells it in {metric.get('unit')!r}")
    for limit in metric.get("consumerQuotaLimits", ()):
        for bucket in limit.get("quotaBuckets", ()):
            if limit.get("unit") == unit and not bucket.get("dimensions"):
                number = int(bucket.get("effectiveLimit", _UNLIMITED))
                return number * of_unit if 0 <= number < _UNLIMITED else None
    return None


def _compared(allowed: dict[str, int | None], largest: Forecast, all_years: Forecast) -> Finding:
    bounds = [(number, unit) for unit, number in allowed.items() if number is not None]
    if not bounds:
        return Finding(NOTE, "quota", "queries may read any amount in a day; docs/gcp.md#costs says how to bound it")
    number, unit = min(bounds)
    name = "Query usage per day" if unit == PER_PROJECT else "Query usage per day per user"
    most = f"{number / 2**40:.3g} TiB" if number >= 2**40 else f"{number / 2**30:.3g} GiB"
    may = f"queries may read {most} a day by the quota {name}"
    if largest.read > number:
        return Finding(WRONG, "quota", f"{may}, and the load of one month reads {size(largest.read)}; raise it")
    if all_years.read > number:
        days = -(-all_years.read // number)
        return Finding(NOTE, "quota", f"{may}; {YEARS} years read {size(all_years.read)}, which takes {days:.0f} days")
    return Finding(OK, "quota", f"{may}; {YEARS} years read {size(all_years.read)}")


def _do(error: Any, project: str) -> str:
    if error.reason == "SERVICE_DISABLED":
        return f"gcloud services enable serviceusage.googleapis.com --project {project}"
    return f"grant roles/servicemanagement.quotaViewer on {project}"
