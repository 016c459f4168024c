"""REST routes that take precedence over bqemulator's: datasets, tables, table data, jobs and query results."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa
from bqemulator.api.routes import datasets
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import NotFoundError
from bqemulator.jobs.executor import JOB_RESULTS, JOB_SCHEMAS
from bqemulator.storage.arrow_bridge import arrow_table_to_bq_rows
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from local.cloud.bigquery import ddl, tables
from local.cloud.bigquery.jobs import Job, Jobs, destination_of
from local.cloud.bigquery.limits import invalid, limit, not_found, refuse_other_options
from local.cloud.bigquery.partitions import TableRef, partition_of
from local.cloud.bigquery.patches.internals import dataset_to_rest
from local.cloud.bigquery.queries import selected_fields
from local.cloud.bigquery.request_types import check_dataset, check_query_request
from local.cloud.bigquery.schemas import Field, quoted, table_fields
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.writes import count_rows, require_dataset, require_table

# Clients poll a job at intervals of a second or more, so waiting here is faster.
_INSERT_WAIT_SECONDS = 20.0
_DEFAULT_QUERY_WAIT_MS = 10_000
_MAX_QUERY_WAIT_MS = 30_000
_PAGE_ROWS = 10_000
_PAGE_BYTES = 10 * 10**6
"""Largest result that is one page, however many rows it has, as in BigQuery."""
_PAGE_TABLES = 1_000
_PAGE_JOBS = 1_000
# Key of the next page's token in lists of resources; in lists of rows it is "pageToken".
_LIST_NEXT = "nextPageToken"
_MAX_PAGE_ROWS = 100_000
_HOUR_MS = 60 * 60 * 1000
_FOR_EVER_MS = 2**63
_DATASET_OPTIONS = {
    *("datasetReference", "friendlyName", "description", "labels", "location", "access"),
    *("defaultTableExpirationMs", "defaultPartitionExpirationMs"),
    # Read-only fields that clients send back from an earlier response.
    *("kind", "id", "etag", "selfLink", "type", "creationTime", "lastModifiedTime", "maxTimeTravelHours"),
}
_JOB_STATE_DONE = "DONE"
# The dataset that bqemulator names as the destination of queries without one.
_ANONYMOUS_DATASET = "_bqemu_anonymous"


def build_router(store: Store, jobs: Jobs) -> APIRouter:
    """Return the routes; each handler runs in a worker thread, see :mod:`.dispatch`."""
    router = APIRouter(prefix="/bigquery/v2/projects/{project}")
    _add_dataset_routes(router, store)
    _add_table_routes(router, store)
    _add_policy_routes(router)
    _add_row_routes(router, store)
    _add_job_routes(router, jobs)
    _add_query_routes(router, store, jobs)
    return router


def _add_dataset_routes(router: APIRouter, store: Store) -> None:
    @router.get("/datasets")
    async def list_datasets(project: str, request: Request) -> dict[str, Any]:
        found = sorted(store.catalog.list_datasets(project), key=lambda dataset: dataset.dataset_id)
        start, end, token = _page(request, len(found), default=_PAGE_TABLES, next_key=_LIST_NEXT)
        body: dict[str, Any] = {"kind": "bigquery#datasetList"}
        if found[start:end]:
            body["datasets"] = [dataset_to_rest(dataset) for dataset in found[start:end]]
        return body | token

    @router.post("/datasets")
    async def insert_dataset(project: str, request: Request) -> dict[str, Any]:
        body = await _dataset(request)
        name = str((body.get("datasetReference") or {}).get("datasetId") or "")
        if not ddl.DATASET_ID.fullmatch(name):
            raise invalid(f'Invalid dataset ID "{name}". Dataset IDs must be alphanumeric (plus underscores)')
        return await datasets.insert_dataset(project, request, store.context)

    @router.patch("/datasets/{dataset}")
    @router.put("/datasets/{dataset}")
    async def update_dataset(project: str, dataset: str, request: Request) -> dict[str, Any]:
        await _dataset(request)
        return await datasets.patch_dataset(project, dataset, request, store.context)

    @router.delete("/datasets/{dataset}")
    async def delete_dataset(project: str, dataset: str, request: Request) -> Response:
        tables.delete_dataset(store, project, dataset, contents=request.query_params.get("deleteContents") == "true")
        return Response(status_code=204)


async def _dataset(request: Request) -> dict[str, Any]:
    """Return the ``Dataset`` resource in a request, checked."""
    body = await _body(request)
    check_dataset(body)
    for name in ("defaultTableExpirationMs", "defaultPartitionExpirationMs"):
        if 0 != int(body.get(name) or 0) < _HOUR_MS:
            raise invalid(f"Invalid value for dataset.{name}: {body[name]} is less than an hour")
    refuse_other_options("dataset", body, _DATASET_OPTIONS)
    return body


async def _body(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise invalid(f"Parse error: the request's body is no JSON: {error}") from error


def _add_table_routes(router: APIRouter, store: Store) -> None:
    path = "/datasets/{dataset}/tables"

    @router.get(path)
    async def list_tables(project: str, dataset: str, request: Request) -> dict[str, Any]:
        require_dataset(store, TableRef(project, dataset, ""))
        ddl.expire(store)
        found = sorted(store.catalog.list_tables(project, dataset), key=lambda table: table.table_id)
        start, end, token = _page(request, len(found), default=_PAGE_TABLES, next_key=_LIST_NEXT)
        body: dict[str, Any] = {"kind": "bigquery#tableList", "totalItems": len(found)}
        if found[start:end]:
            body["tables"] = [tables.list_item(table) for table in found[start:end]]
        return body | token

    @router.post(path)
    async def insert_table(project: str, dataset: str, request: Request) -> dict[str, Any]:
        table = await tables.insert(store, project, dataset, await _body(request))
        return tables.resource(store, table, TableRef(project, dataset, table.table_id))

    @router.get(path + "/{name}")
    async def get_table(project: str, dataset: str, name: str) -> dict[str, Any]:
        if dataset == _ANONYMOUS_DATASET:
            return _anonymous_table(project, dataset, name)
        ddl.expire(store)
        ref = TableRef.parse(project, dataset, name)
        return tables.resource(store, require_table(store, ref), ref)

    @router.patch(path + "/{name}")
    @router.put(path + "/{name}")
    async def update_table(project: str, dataset: str, name: str, request: Request) -> dict[str, Any]:
        ref = TableRef.parse(project, dataset, name)
        etag, replace = request.headers.get("if-match"), request.method == "PUT"
        table = tables.update(store, ref, await _body(request), etag=etag, replace=replace)
        return tables.resource(store, table, ref)

    @router.delete(path + "/{name}")
    async def delete_table(project: str, dataset: str, name: str) -> Response:
        tables.delete(store, TableRef.parse(project, dataset, name))
        return Response(status_code=204)


def _add_policy_routes(router: APIRouter) -> None:
    path = "/datasets/{dataset}/tables/{table}/rowAccessPolicies{rest:path}"

    @router.api_route(path, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def refuse() -> None:
        raise limit("have row access policies; select the rows in a view")


def _add_row_routes(router: APIRouter, store: Store) -> None:
    path = "/datasets/{dataset}/tables/{name}"

    @router.get(path + "/data")
    async def list_data(project: str, dataset: str, name: str, request: Request) -> dict[str, Any]:
        if dataset == _ANONYMOUS_DATASET:
            return {"kind": "bigquery#tableDataList", **_kept_rows(_job_of_anonymous(project, name), request)}
        ref = TableRef.parse(project, dataset, name)
        table = require_table(store, ref)
        if table.table_type != "TABLE":
            raise invalid(f"Cannot list a table of type {table.table_type}.")
        predicate = partition_of(table, ref).predicate if ref.partition is not None else "true"
        fields = selected_fields(table_fields(table), request.query_params.get("selectedFields"))
        rows, total, token = _read_rows(store, ref, fields, predicate, request)
        return {"kind": "bigquery#tableDataList", "totalRows": str(total), "rows": rows} | token

    @router.post(path + "/insertAll")
    async def insert_all(project: str, dataset: str, name: str) -> None:
        raise limit("stream rows (tabledata.insertAll); use a load job or INSERT")


def _add_job_routes(router: APIRouter, jobs: Jobs) -> None:
    @router.post("/jobs")
    async def insert_job(project: str, request: Request) -> Any:
        body = await _body(request)
        job = jobs.submit(project, body)
        await asyncio.to_thread(job.done.wait, _INSERT_WAIT_SECONDS)
        if job.meta and job.meta.error_result and job.config.get("dryRun"):
            return _failed(job.meta)  # clients do not poll dry runs
        return job_resource(job.meta or job, (body.get("jobReference") or {}).get("location"))

    @router.get("/jobs")
    async def list_jobs(project: str, request: Request) -> dict[str, Any]:
        found = [] if request.query_params.get("parentJobId") else _filtered(jobs.known(project), request)
        start, end, token = _page(request, len(found), default=_PAGE_JOBS, next_key=_LIST_NEXT)
        body: dict[str, Any] = {"kind": "bigquery#jobList"}
        if found[start:end]:
            body["jobs"] = [item | {"state": item["status"]["state"]} for item in found[start:end]]
        return body | token

    @router.get("/jobs/{job_id}")
    async def get_job(project: str, job_id: str, request: Request) -> dict[str, Any]:
        job = jobs.find(project, job_id)
        if job is None:
            raise not_found("Job", f"{project}:US.{job_id}")
        return job_resource(job, request.query_params.get("location"))

    @router.post("/jobs/{job_id}/cancel")
    async def cancel_job(project: str, job_id: str, request: Request) -> dict[str, Any]:
        job = jobs.cancel(project, job_id)
        if job is None:
            raise not_found("Job", f"{project}:US.{job_id}")
        location = request.query_params.get("location")
        return {"kind": "bigquery#jobCancelResponse", "job": job_resource(job, location)}


def _add_query_routes(router: APIRouter, store: Store, jobs: Jobs) -> None:
    @router.post("/queries")
    async def query(project: str, request: Request) -> Response:
        body = await _body(request)
        check_query_request(body)
        job = jobs.submit(project, _job_of_query(body))
        await asyncio.to_thread(job.done.wait, _query_wait(body.get("timeoutMs")))
        return _results_response(store, job.meta or job, request, body.get("maxResults"), body.get("location"))

    @router.get("/queries/{job_id}")
    async def get_query_results(project: str, job_id: str, request: Request) -> Response:
        params = request.query_params
        job = await asyncio.to_thread(jobs.wait, project, job_id, _query_wait(params.get("timeoutMs")))
        if job is None:
            raise not_found("Job", f"{project}:US.{job_id}")
        return _results_response(store, job, request, params.get("maxResults"), params.get("location"))


def _query_wait(timeout_ms: Any) -> float:
    """Return how many seconds to wait for a query's end before answering that it is not done."""
    return min(int(timeout_ms or _DEFAULT_QUERY_WAIT_MS), _MAX_QUERY_WAIT_MS) / 1000


# --- Jobs ------------------------------------------------------------------------------------------------------------


def job_resource(job: Job | JobMeta, location: str | None) -> dict[str, Any]:
    """Return the ``Job`` resource of a running or finished job."""
    meta = job if isinstance(job, JobMeta) else job.meta
    if meta is None and isinstance(job, Job):
        state = "RUNNING" if job.started else "PENDING"
        times = {"creationTime": job.created, "startTime": job.started}
        project, job_id, config, statistics = job.project, job.job_id, job.config, {}
        status: dict[str, Any] = {"state": state}
    else:
        assert meta is not None
        times = {"creationTime": meta.creation_time, "startTime": meta.start_time, "endTime": meta.end_time}
        project, job_id, config, statistics = meta.project_id, meta.job_id, meta.configuration, meta.statistics
        status = {"state": _JOB_STATE_DONE}
        if meta.error_result:
            status |= {"errorResult": meta.error_result, "errors": [meta.error_result]}
    stamps = {name: str(int(time.timestamp() * 1000)) for name, time in times.items() if time}
    return {
        "kind": "bigquery#job",
        "id": f"{project}:{location or 'US'}.{job_id}",
        "jobReference": {"projectId": project, "jobId": job_id, "location": location or "US"},
        "configuration": config,
        "status": status,
        "statistics": {**statistics, **stamps},
        "user_email": "cloud@localhost",
    }


def _filtered(jobs: list[Job | JobMeta], request: Request) -> list[dict[str, Any]]:
    """Return the job resources that match the filters of a ``jobs.list`` request."""
    params = request.query_params
    states = {state.upper() for state in params.getlist("stateFilter")}
    first, last = int(params.get("minCreationTime") or 0), int(params.get("maxCreationTime") or _FOR_EVER_MS)
    items = [job_resource(job, None) for job in jobs]
    return [
        item
        for item in items
        if (not states or item["status"]["state"] in states)
        and first <= int(item["statistics"]["creationTime"]) <= last
    ]


_QUERY_OPTIONS = {
    *("query", "useLegacySql", "queryParameters", "parameterMode", "defaultDataset", "dryRun", "maximumBytesBilled"),
    *("useQueryCache", "labels", "jobTimeoutMs", "createSession"),
}
_QUERY_REQUEST = {"kind", "maxResults", "timeoutMs", "requestId", "formatOptions", "location", "jobCreationMode"}


def _job_of_query(body: dict[str, Any]) -> dict[str, Any]:
    """Convert a ``jobs.query`` request to a job configuration."""
    refuse_other_options("query request", body, _QUERY_OPTIONS | _QUERY_REQUEST)
    config = {name: value for name, value in body.items() if name in _QUERY_OPTIONS}
    outer = {name: config.pop(name) for name in ("dryRun", "labels", "jobTimeoutMs") if name in config}
    return {"configuration": {"query": config, **outer}}


# --- Rows ------------------------------------------------------------------------------------------------------------


def _page(
    request: Request, total: int, *, default: int, given: Any = None, next_key: str = "pageToken"
) -> tuple[int, int, dict[str, str]]:
    """Return the requested page: first index, last index, and the token of the next page.

    The Python client waits for a query with maxResults=0. Unless the response has all rows, it then reads them through
    the Storage API, which does not exist here. So a result of one page is returned whole even then.
    """
    params = request.query_params
    text = given if given is not None else params.get("maxResults")
    try:
        start = int(params.get("pageToken") or params.get("startIndex") or 0)
        size = default if text is None else min(int(text), _MAX_PAGE_ROWS)
    except ValueError as error:
        raise invalid(f"Invalid page: {error}") from error
    if start < 0 or size < 0:
        raise invalid("Invalid page: maxResults, startIndex and pageToken are not negative")
    if size == 0 and total <= default:
        size = default
    end = start + size
    return start, end, {next_key: str(end)} if size and end < total else {}


def _read_rows(
    store: Store, ref: TableRef, fields: list[Field], predicate: str, request: Request, given: Any = None
) -> tuple[list[dict[str, Any]], int, dict[str, str]]:
    total = count_rows(store, ref, predicate)
    start, end, token = _page(request, total, default=_PAGE_ROWS, given=given)
    columns = ", ".join(quoted(f["name"]) for f in fields)
    sql = f"SELECT {columns} FROM {ref.sql} WHERE {predicate} LIMIT {end - start} OFFSET {start}"
    arrow = store.engine.fetch_arrow(sql)
    return _rest_rows(arrow, 0, arrow.num_rows), total, token


def _rest_rows(arrow: pa.Table, start: int, end: int) -> list[dict[str, Any]]:
    """Return rows in REST form; refuse dates and times that BigQuery does not have, which files may contain."""
    try:
        return arrow_table_to_bq_rows(arrow, offset=start, limit=end - start)
    except (OverflowError, ValueError) as error:
        if isinstance(error, OverflowError) or "out of range" in str(error):
            raise invalid(
                "Cannot return an invalid date or time value: the range of valid values is [0001-01-01, 9999-12-31]"
            ) from error
        raise limit(f"return these rows: {error}") from error


def _results_response(
    store: Store, job: Job | JobMeta, request: Request, max_results: Any, location: str | None
) -> Response:
    if isinstance(job, Job):
        reference = {"projectId": job.project, "jobId": job.job_id, "location": location or "US"}
        return JSONResponse({"jobReference": reference, "jobComplete": False, "kind": "bigquery#queryResponse"})
    if job.error_result:
        return _failed(job)
    reference = {"projectId": job.project_id, "jobId": job.job_id, "location": location or "US"}
    statistics = job.statistics.get("query") or {}
    body: dict[str, Any] = {
        "kind": "bigquery#getQueryResultsResponse",
        "jobReference": reference,
        "jobComplete": True,
        "cacheHit": False,
        "totalBytesProcessed": statistics.get("totalBytesProcessed", "0"),
    }
    for name in ("statementType", "numDmlAffectedRows", "dmlStats", "ddlOperationPerformed"):
        if statistics.get(name) is not None:
            body[name] = statistics[name]
    return JSONResponse(body | _rows_of_job(store, job, request, max_results))


def _rows_of_job(store: Store, job: JobMeta, request: Request, max_results: Any) -> dict[str, Any]:
    if job.job_type != "QUERY":
        raise invalid(f"Job {job.job_id} is not a query job")
    statistics = job.statistics.get("query") or {}
    schema = (statistics.get("schema") or {}).get("fields")
    if schema is not None:
        return {"schema": {"fields": schema}, "totalRows": "0"}
    if statistics.get("statementType") == ddl.CREATE_TABLE_AS_SELECT:
        return {"schema": {"fields": []}, "totalRows": "0"}
    destination = destination_of(job)
    if destination is not None:
        table = require_table(store, destination)
        predicate = partition_of(table, destination).predicate if destination.partition is not None else "true"
        fields = table_fields(table)
        rows, total, token = _read_rows(store, destination, fields, predicate, request, max_results)
        body = {"schema": {"fields": fields}, "totalRows": str(total)} | token
        return body | {"rows": rows} if rows else body
    if job.job_id not in JOB_RESULTS:
        if statistics.get("statementType") in ("SELECT", "SCRIPT"):
            raise NotFoundError(f"Not found: the results of job {job.job_id} are no longer kept; run the query again")
        return {"schema": {"fields": []}, "totalRows": "0"}
    return _kept_rows(job.job_id, request, max_results)


def _job_of_anonymous(project: str, table: str) -> str:
    """Return the id of the job whose results bqemulator names ``anon<job id without hyphens>``."""
    for job_id in reversed(list(JOB_RESULTS)):
        if f"anon{job_id.replace('-', '')}" == table:
            return job_id
    raise not_found("Table", f"{project}:{_ANONYMOUS_DATASET}.{table}")


def _anonymous_table(project: str, dataset: str, table: str) -> dict[str, Any]:
    job_id = _job_of_anonymous(project, table)
    return {
        "kind": "bigquery#table",
        "id": f"{project}:{dataset}.{table}",
        "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
        "type": "TABLE",
        "numRows": str(JOB_RESULTS[job_id].num_rows),
        "schema": {"fields": JOB_SCHEMAS.get(job_id, [])},
    }


def _kept_rows(job_id: str, request: Request, max_results: Any = None) -> dict[str, Any]:
    """Return a page of the rows that a query left in memory."""
    arrow = JOB_RESULTS[job_id]
    default = max(_PAGE_ROWS, arrow.num_rows if arrow.nbytes <= _PAGE_BYTES else 0)
    start, end, token = _page(request, arrow.num_rows, default=default, given=max_results)
    body: dict[str, Any] = {"schema": {"fields": JOB_SCHEMAS.get(job_id, [])}, "totalRows": str(arrow.num_rows)} | token
    if end > start:  # clients take a response with "rows", even if empty, as the first page
        body["rows"] = _rest_rows(arrow, start, end)
    return body


_STATUS_OF_REASON = {"notFound": 404, "duplicate": 409, "accessDenied": 403, "quotaExceeded": 403}


def _failed(job: JobMeta) -> Response:
    """Return the HTTP error response for a failed job."""
    error = job.error_result or {}
    status = _STATUS_OF_REASON.get(error.get("reason", ""), 400)
    body = {"code": status, "message": error.get("message"), "errors": [{"domain": "global", **error}]}
    return JSONResponse({"error": body}, status_code=status)
