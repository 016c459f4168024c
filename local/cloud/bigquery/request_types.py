"""The types of what requests have in their bodies, so that a value of another type is refused by its name.

Source: the REST reference of BigQuery (https://cloud.google.com/bigquery/docs/reference/rest), of the fields that this
server reads. Other fields are no matter of this module: ``refuse_other_options`` refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from local.cloud.bigquery.limits import check_texts, invalid

Check = Callable[[str, Any], None]
_INT64 = re.compile(r"-?\d{1,19}")
_LARGEST = 2**63


def _plain(kind: str, allows: Callable[[Any], bool]) -> Check:
    def check(where: str, value: Any) -> None:
        if not allows(value):
            raise invalid(f"Invalid value for {where}: {str(value)[:70]!r} is not {kind}")

    return check


def _is_int64(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    whole = isinstance(value, int) or (isinstance(value, str) and _INT64.fullmatch(value) is not None)
    return whole and -_LARGEST <= int(value) < _LARGEST


_STRING = _plain("a string", lambda value: isinstance(value, str))
_BOOL = _plain("a boolean", lambda value: isinstance(value, bool))
_INTEGER = _plain("an integer", _is_int64)


def _object(**fields: Check) -> Check:
    def check(where: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise invalid(f"Invalid value for {where}: it is not an object")
        for name, check_field in fields.items():
            if value.get(name) is not None:
                check_field(f"{where}.{name}", value[name])

    return check


def _list(check_item: Check) -> Check:
    def check(where: str, value: Any) -> None:
        if not isinstance(value, list):
            raise invalid(f"Invalid value for {where}: it is not a list")
        for number, item in enumerate(value):
            check_item(f"{where}[{number}]", item)

    return check


def _field(where: str, value: Any) -> None:
    _FIELD(where, value)


_TEXTS = ("name", "type", "mode", "description")
_FIELD = _object(**dict.fromkeys(_TEXTS, _STRING), fields=_list(_field))
_SCHEMA = _object(fields=_list(_field))
_TABLE_REFERENCE = _object(projectId=_STRING, datasetId=_STRING, tableId=_STRING)
_DATASET_REFERENCE = _object(projectId=_STRING, datasetId=_STRING)
_PARTITIONING = _object(type=_STRING, field=_STRING, expirationMs=_INTEGER, requirePartitionFilter=_BOOL)
_CLUSTERING = _object(fields=_list(_STRING))
_CSV = _object(
    fieldDelimiter=_STRING, skipLeadingRows=_INTEGER, quote=_STRING, encoding=_STRING, allowQuotedNewlines=_BOOL
)
_HIVE = _object(mode=_STRING, sourceUriPrefix=_STRING, requirePartitionFilter=_BOOL)
_EXTERNAL = _object(
    sourceUris=_list(_STRING),
    sourceFormat=_STRING,
    schema=_SCHEMA,
    autodetect=_BOOL,
    csvOptions=_CSV,
    hivePartitioningOptions=_HIVE,
)
_TABLE = _object(
    tableReference=_TABLE_REFERENCE,
    schema=_SCHEMA,
    expirationTime=_INTEGER,
    timePartitioning=_PARTITIONING,
    clustering=_CLUSTERING,
    requirePartitionFilter=_BOOL,
    externalDataConfiguration=_EXTERNAL,
    view=_object(query=_STRING, useLegacySql=_BOOL),
)
_DATASET = _object(
    datasetReference=_DATASET_REFERENCE,
    location=_STRING,
    defaultTableExpirationMs=_INTEGER,
    defaultPartitionExpirationMs=_INTEGER,
    access=_list(_object(role=_STRING, userByEmail=_STRING, groupByEmail=_STRING, domain=_STRING)),
)
_TARGET = {
    "destinationTable": _TABLE_REFERENCE,
    "createDisposition": _STRING,
    "writeDisposition": _STRING,
    "timePartitioning": _PARTITIONING,
    "clustering": _CLUSTERING,
    "schemaUpdateOptions": _list(_STRING),
}
_QUERY = {
    "query": _STRING,
    "useLegacySql": _BOOL,
    "queryParameters": _list(_object(name=_STRING, parameterType=_object(), parameterValue=_object())),
    "parameterMode": _STRING,
    "defaultDataset": _DATASET_REFERENCE,
    "maximumBytesBilled": _INTEGER,
}
_LOAD = {
    "sourceUris": _list(_STRING),
    "sourceFormat": _STRING,
    "schema": _SCHEMA,
    "autodetect": _BOOL,
    "fieldDelimiter": _STRING,
    "skipLeadingRows": _INTEGER,
    "maxBadRecords": _INTEGER,
}
_COPY = _object(sourceTable=_TABLE_REFERENCE, sourceTables=_list(_TABLE_REFERENCE), **_TARGET)
_JOB = _object(
    jobReference=_object(projectId=_STRING, jobId=_STRING, location=_STRING),
    configuration=_object(
        query=_object(**_QUERY, **_TARGET),
        load=_object(**_LOAD, **_TARGET),
        copy=_COPY,
        dryRun=_BOOL,
        jobTimeoutMs=_INTEGER,
    ),
)
_QUERY_REQUEST = _object(
    **_QUERY, dryRun=_BOOL, jobTimeoutMs=_INTEGER, timeoutMs=_INTEGER, maxResults=_INTEGER, location=_STRING
)


def check_table(body: Any) -> None:
    """Check a ``Table`` resource; raises ValidationError for a value of a wrong type."""
    _TABLE("table", body)
    check_texts("table", body)


def check_dataset(body: Any) -> None:
    """Check a ``Dataset`` resource; raises ValidationError for a value of a wrong type."""
    _DATASET("dataset", body)
    check_texts("dataset", body)


def check_job(body: Any) -> None:
    """Check a ``Job`` resource; raises ValidationError for a value of a wrong type."""
    _JOB("job", body)
    check_texts("configuration", body.get("configuration") or {})


def check_query_request(body: Any) -> None:
    """Check the body of ``jobs.query``; raises ValidationError for a value of a wrong type."""
    _QUERY_REQUEST("query request", body)
