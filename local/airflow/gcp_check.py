"""Checks a project on Google Cloud before the first run: credentials, permissions, bucket, datasets, costs and quotas.

It asks as the pipeline's tasks do, with the connection ``google_cloud_default`` and Google's own clients, and changes
nothing: it reads descriptions and lists, asks for permissions and sends one dry run. docs/gcp.md says what it cannot
find out.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from local.airflow import gcp_quotas
from local.airflow.environment import AirflowSettings
from local.airflow.gcp_finding import NOTE, OK, WRONG, Finding, said
from local.airflow.gcp_forecast import YEARS, Forecast, Held, backfill, forecast, size
from local.airflow.google_key import NO_BUCKET, lacks_bucket, remedy, wrong_key
from local.airflow.reconcile import stack_variables
from local.cloud.shell import GOOGLE_CONNECTION
from nyc_taxi.common.objects import SCHEME, WorkDirError, is_object
from nyc_taxi.common.work_files import checked_work_dir
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.model import ContractError
from nyc_taxi.stores.bigquery.billing import VARIABLE, maximum_bytes_billed

if TYPE_CHECKING:
    from google.cloud import bigquery, storage  # type: ignore[attr-defined] # storage has no types

BUCKET_PERMISSIONS = (
    "storage.buckets.get",
    *(f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list", "update")),
)
WORK_PERMISSIONS = tuple(name for name in BUCKET_PERMISSIONS if name != "storage.objects.update")
WORK_DIR = "AIRFLOW_VAR_WORK_DIR"
# Those of a dataset that Google tells; it tells them of a table only. bigquery.tables.create is not one of them.
TABLE_PERMISSIONS = tuple(f"bigquery.tables.{verb}" for verb in ("delete", "get", "getData", "update", "updateData"))
# What no step needs: who has one of them has more than the smallest roles.
NEEDLESS_PERMISSIONS = ("bigquery.datasets.delete", "resourcemanager.projects.setIamPolicy", "storage.buckets.delete")
# The datasets, and whether their tables are to stay: staging tables may expire.
DATASETS = {"trips": True, "trips_staging": False}
# The regions from which BigQuery's multi-regions read external tables, and those of Cloud Storage's dual-regions:
# https://cloud.google.com/bigquery/docs/locations, https://cloud.google.com/storage/docs/locations
_READ_BY = {"US": "US-CENTRAL1", "EU": "EUROPE-WEST4"}
_DUAL_REGIONS = {
    "ASIA1": ("ASIA-NORTHEAST1", "ASIA-NORTHEAST2"),
    "EUR4": ("EUROPE-NORTH1", "EUROPE-WEST4"),
    "NAM4": ("US-CENTRAL1", "US-EAST1"),
}
_GRANT_DATASET = "grant roles/bigquery.dataEditor on the dataset"
# Seconds for which a request is repeated that did not reach Google.
_PATIENCE = 10.0


@dataclass(frozen=True)
class Use:
    """What a bucket is for.

    Attributes:
        permissions: those that the account needs.
        missing: what to do if there is no such bucket.
        kept: what a retention policy does.
    """

    permissions: tuple[str, ...]
    missing: str
    kept: str


LAKE = Use(
    BUCKET_PERMISSIONS,
    "create the bucket where the datasets are, or set LAKE_BUCKET",
    "keeps months from being replaced",
)
WORK = Use(
    WORK_PERMISSIONS,
    f"create the bucket in the region of the workers, or set {WORK_DIR}",
    "keeps files from being deleted when their run has ended",
)


def check(settings: AirflowSettings, project: str, bucket: str) -> Iterator[Finding]:
    """Check what the settings name; ends after a finding without which the others would say nothing.

    Args:
        settings: of the local stack, with the connection and the bucket of ``.env``.
        project: the project to check in place of the connection's; empty for that.
        bucket: the bucket to check in place of ``LAKE_BUCKET``; empty for that.
    """
    # Each repeated request would be a line of its own.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    # Airflow would say of a short project id that it does not mask it.
    logging.getLogger("airflow.sdk._shared.secrets_masker.secrets_masker").setLevel(logging.ERROR)
    if not settings.uses_real_google_cloud:
        if not (project and bucket):
            text = f"there is no {GOOGLE_CONNECTION} in .env; set it, or give PROJECT= and BUCKET="
            yield Finding(WRONG, "connection", text)
            return
        extra = {"conn_type": "google_cloud_platform", "extra": {"project": project}}
        os.environ[GOOGLE_CONNECTION] = json.dumps(extra)
    if not bucket and lacks_bucket():
        yield Finding(WRONG, "bucket", NO_BUCKET)
        return
    with stack_variables(settings):
        yield from check_connection(project, bucket or settings.cloud.lake_bucket)


def check_connection(project: str, bucket: str) -> Iterator[Finding]:
    """Check with the connection ``google_cloud_default`` of the environment; the arguments are those of ``check``."""
    from airflow.providers.google.common.hooks.base_google import GoogleBaseHook
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowException
    from google.api_core.exceptions import RetryError
    from google.auth.exceptions import GoogleAuthError, RefreshError

    extra = BaseHook.get_connection("google_cloud_default").extra_dejson
    named = extra.get("project", "")
    if not named or project not in ("", named):
        text = f'names the project {named!r}; set "project": "{project or "my-project"}" in its extra, in .env'
        yield Finding(WRONG, "connection", text)
        return
    if problem := wrong_key(extra):
        yield Finding(WRONG, "credentials", f"{problem}; {remedy(extra)}")
        return
    try:
        google = Google(named, GoogleBaseHook().get_credentials(), location=extra.get("location") or "US")
        yield from google.findings(bucket)
    except RetryError as error:
        yield Finding(WRONG, "network", f"Google does not answer: {error.cause}")
    except RefreshError as error:
        yield Finding(WRONG, "credentials", f"Google does not accept them: {error.args[0]}; {remedy(extra)}")
    except (AirflowException, GoogleAuthError, OSError, ValueError) as error:
        yield Finding(WRONG, "credentials", f"{str(error).rstrip('.')}; {remedy(extra)}")


class Google:
    """One project, as one account sees it.

    Args:
        project: id of the project.
        credentials: those of the account.
        location: where jobs run that name no table: the location in the connection's extra.
    """

    def __init__(self, project: str, credentials: Any, *, location: str) -> None:
        from google.api_core.retry import Retry
        from google.cloud import bigquery, storage  # type: ignore[attr-defined]

        self._project, self._credentials, self._location = project, credentials, location
        self._options: dict[str, Any] = {"retry": Retry(timeout=_PATIENCE)}
        self._bigquery = bigquery.Client(project, credentials=credentials)
        self._storage = storage.Client(project, credentials=credentials)
        # The account's permissions on the project; None if Google does not tell them.
        self._granted: frozenset[str] | None = None

    def findings(self, bucket: str) -> Iterator[Finding]:
        """Yield all findings."""
        yield (queries := self._queries())
        if queries.state == WRONG:
            return
        yield from self._roles()
        found, finding = self._bucket(bucket, LAKE)
        yield finding
        yield from self._work_dir(os.environ.get(WORK_DIR, ""), bucket, found)
        for name, keeps in DATASETS.items():
            yield from self._dataset(name, found, keeps=keeps)
        months = []
        for trips in TRIP_DATASETS:
            held = self._held(trips.name, found)
            month, based_on = forecast(trips.name, held)
            months.append(month)
            yield from _costs(trips.name, held, month, based_on)
        total = backfill(months)
        yield Finding(NOTE, f"{YEARS} years", f"of all datasets: {total}; docs/gcp.md#costs")
        yield _billing(max(month.table for month in months))
        yield gcp_quotas.limits()
        largest = max(months, key=lambda month: month.read)
        yield gcp_quotas.quota(self._project, self._credentials, largest, total)

    def _queries(self) -> Finding:
        """Send a dry run: the project exists, BigQuery is enabled there, and the account may run jobs."""
        from google.api_core.exceptions import Forbidden, GoogleAPICallError
        from google.cloud import bigquery

        try:
            self._bigquery.query("SELECT 1", bigquery.QueryJobConfig(dry_run=True), job_retry=None, **self._options)
        except Forbidden as error:
            do = f"grant roles/bigquery.jobUser on {self._project}, unless this names another cause"
            return Finding(WRONG, "project", f"{said(error)}; {do}")
        except GoogleAPICallError as error:
            return Finding(WRONG, "project", f"{said(error)}; set the right project in the connection's extra")
        account = getattr(self._credentials, "service_account_email", "")
        return Finding(OK, "project", f"{self._project} runs queries{f' of {account}' if account else ''}")

    def _roles(self) -> Iterator[Finding]:
        """Ask for the account's permissions on the whole project."""
        from google.api_core.exceptions import GoogleAPICallError
        from google.cloud.resourcemanager_v3 import ProjectsClient

        wanted = ["bigquery.datasets.create", *TABLE_PERMISSIONS, *NEEDLESS_PERMISSIONS]
        try:
            projects = ProjectsClient(credentials=self._credentials, transport="rest")
            asked = projects.test_iam_permissions(resource=f"projects/{self._project}", permissions=wanted)
        except (GoogleAPICallError, OSError) as error:
            yield Finding(NOTE, "roles", f"those on the whole project are not known: {said(error)}")
            return
        self._granted = frozenset(asked.permissions)
        if more := sorted(self._granted & {*NEEDLESS_PERMISSIONS}):
            yield Finding(NOTE, "roles", f"the account may do more than it needs: {', '.join(more)}; see docs/gcp.md")

    def _work_dir(self, work_dir: str, lake: str, bucket: storage.Bucket | None) -> Iterator[Finding]:
        """Check the bucket of the work dir, if it has one of its own."""
        if not is_object(work_dir):
            return
        try:
            name = checked_work_dir(work_dir).removeprefix(SCHEME).partition("/")[0]
        except WorkDirError as error:
            yield Finding(WRONG, "work dir", str(error))
            return
        if name == lake:
            return
        found, finding = self._bucket(name, WORK)
        if finding.state == OK and found and bucket and not _near(found, bucket):
            text = f"in {found.location}, far from the lake in {bucket.location}; have both where the workers are"
            finding = Finding(NOTE, finding.subject, text)
        yield finding

    def _bucket(self, name: str, use: Use) -> tuple[storage.Bucket | None, Finding]:
        """Return the bucket, if its location is known, and what is to be said of it."""
        from google.api_core.exceptions import GoogleAPICallError, NotFound

        bucket, wrong = self._storage.bucket(name), partial(Finding, WRONG, f"gs://{name}")
        try:
            granted = bucket.test_iam_permissions(use.permissions, **self._options)
            if missing := _missing(use.permissions, granted):
                roles = "roles/storage.objectUser and roles/storage.legacyBucketReader"
                return None, wrong(f"the account lacks {missing}; if the bucket is yours, grant {roles} on it")
            bucket.reload(**self._options)
        except NotFound as error:
            return None, wrong(f"{said(error)}; {use.missing}")
        except GoogleAPICallError as error:
            return None, wrong(f"{said(error)}; mend that, and check again")
        if bucket.retention_period:
            return bucket, wrong(f"its retention policy {use.kept}; remove the policy")
        return bucket, Finding(OK, f"gs://{name}", f"in {bucket.location}; the account may read and write objects")

    def _dataset(self, name: str, bucket: storage.Bucket | None, *, keeps: bool) -> Iterator[Finding]:
        from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound

        try:
            dataset = self._bigquery.get_dataset(name, **self._options)
            missing = self._missing_on_tables(name)
        except NotFound:
            yield self._missing_dataset(name, bucket)
            return
        except GoogleAPICallError as error:
            do = _GRANT_DATASET if isinstance(error, Forbidden) else "mend that, and check again"
            yield Finding(WRONG, name, f"{said(error)}; {do}")
            return
        problems = [f"the account lacks {missing}; {_GRANT_DATASET}"] if missing else []
        problems += self._problems(dataset, bucket, keeps=keeps)
        yield from (Finding(WRONG, name, problem) for problem in problems)
        if missing is None:
            yield Finding(NOTE, name, "has no table yet, so that Google does not tell whether the account may write it")
        elif not problems:
            yield Finding(OK, name, f"in {dataset.location}; the account may read and write tables")

    def _held(self, dataset: str, bucket: storage.Bucket | None) -> Held:
        """Return what the bucket and the table hold; what cannot be asked is nothing: other lines say what is wrong."""
        from google.api_core.exceptions import GoogleAPICallError

        sizes: list[int] = []
        rows = table_bytes = partitions = 0
        with suppress(GoogleAPICallError):
            if bucket is not None:
                fields = "items(name,size),nextPageToken"
                found = bucket.list_blobs(prefix=f"{dataset}/", fields=fields, **self._options)
                sizes = [blob.size for blob in found if blob.name.endswith(".parquet")]
        with suppress(GoogleAPICallError):
            table = self._bigquery.get_table(f"trips.{dataset}", **self._options)
            rows, table_bytes = table.num_rows or 0, table.num_bytes or 0
            partitions = int(table.to_api_repr().get("numPartitions", 0))
        return Held(len(sizes), sum(sizes), partitions, rows, table_bytes)

    def _problems(self, dataset: bigquery.Dataset, bucket: storage.Bucket | None, *, keeps: bool) -> Iterator[str]:
        if keeps and (dataset.default_table_expiration_ms or dataset.default_partition_expiration_ms):
            yield "its tables or partitions expire by default; set both defaults to never"
        if dataset.location.upper() != self._location.upper():
            yield (
                f"is in {dataset.location}, and the jobs that create tables run in {self._location}; "
                f'set "location": "{dataset.location}" in the connection\'s extra'
            )
        if bucket is not None and not reads(dataset.location, bucket):
            yield _apart(bucket, dataset.location)

    def _missing_dataset(self, name: str, bucket: storage.Bucket | None) -> Finding:
        if bucket is not None and not reads(self._location, bucket):
            return Finding(WRONG, name, f"is missing, and create_table makes it: {_apart(bucket, self._location)}")
        made = f"is missing; create_table makes it in {self._location}"
        if self._granted is None:
            return Finding(NOTE, name, f"{made}, if the account may")
        if "bigquery.datasets.create" in self._granted:
            return Finding(OK, name, made)
        do = f"create it in {self._location}, or grant roles/bigquery.user on the project"
        return Finding(WRONG, name, f"is missing, and the account may not make it; {do}")

    def _missing_on_tables(self, dataset: str) -> str | None:
        """Return which permissions the account lacks on a table of the dataset; None if there is no way to know."""
        table = next(iter(self._bigquery.list_tables(dataset, max_results=1, **self._options)), None)
        if table is not None:
            answer = self._bigquery.test_iam_permissions(table, TABLE_PERMISSIONS, **self._options)
            return _missing(TABLE_PERMISSIONS, answer.get("permissions", ()))
        return "" if self._granted is not None and self._granted.issuperset(TABLE_PERMISSIONS) else None


def reads(dataset_location: str, bucket: storage.Bucket) -> bool:
    """Return whether BigQuery can read a bucket's objects from a dataset's location, for external tables too."""
    regions = bucket.data_locations or _DUAL_REGIONS.get(bucket.location, (bucket.location,))
    place = dataset_location.upper()
    return place in regions or _READ_BY.get(place) in regions


def _near(one: storage.Bucket, other: storage.Bucket) -> bool:
    return reads(one.location, other) or reads(other.location, one)


def _costs(dataset: str, held: Held, month: Forecast, based_on: str) -> Iterator[Finding]:
    """Say what a table holds, and what a month of it costs."""
    if held.rows:
        million = held.table_bytes / held.rows
        text = f"{held.rows:,} trips hold {size(held.table_bytes)}, {million:.0f} MB a million"
        yield Finding(NOTE, dataset, text)
    yield Finding(NOTE, dataset, f"a month of {month.rows / 1e6:.3g} million trips ({based_on}): {month}")


def _billing(largest: float) -> Finding:
    """Say how much one query may bill, beside what the largest query of the pipeline reads."""
    try:
        most = int(maximum_bytes_billed())
    except ContractError as error:
        return Finding(WRONG, "billing", str(error))
    refused = f"a query that would bill more than {most / 2**30:.3g} GiB is refused: {VARIABLE}"
    if largest > most:
        return Finding(WRONG, "billing", f"{refused}; the publish of a month reads {size(largest)}, so raise it")
    return Finding(OK, "billing", refused)


def _apart(bucket: storage.Bucket, location: str) -> str:
    return (
        f"the bucket is in {bucket.location}, and external tables in {location} cannot read it there; create the "
        'dataset where the bucket is, and set its location as "location" in the connection\'s extra'
    )


def _missing(wanted: Sequence[str], granted: Sequence[str]) -> str:
    return ", ".join(name for name in wanted if name not in granted)
