"""Table references with a partition decorator (``table$202101``), and the rows of a partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bqemulator.catalog.models import Clustering, TableMeta, TimePartitioning

from local.cloud.bigquery.limits import invalid, limit, refuse_other_options
from local.cloud.bigquery.schemas import Field, by_name, quoted

# Granularity to the format of its partition ids.
ID_FORMATS = {"YEAR": "%Y", "MONTH": "%Y%m", "DAY": "%Y%m%d", "HOUR": "%Y%m%d%H"}
_ID_LENGTHS = {"YEAR": 4, "MONTH": 6, "DAY": 8, "HOUR": 10}
# Type of the partitioning column to the format of a boundary as a DuckDB literal.
_LITERALS = {"DATE": "DATE '{:%Y-%m-%d}'", "DATETIME": "TIMESTAMP '{:%Y-%m-%d %H:%M:%S}'"}
_LITERALS["TIMESTAMP"] = "TIMESTAMPTZ '{:%Y-%m-%d %H:%M:%S}+00'"
_LAST_YEAR = 9999
_MAX_CLUSTERING_FIELDS = 4


@dataclass(frozen=True)
class TableRef:
    """A table, or one partition of it."""

    project: str
    dataset: str
    table: str
    partition: str | None = None

    @classmethod
    def from_rest(cls, reference: dict[str, Any], project: str) -> TableRef:
        """Read a ``tableReference``; ``tableId`` may have a decorator.

        Raises:
            ValidationError: ``datasetId`` or ``tableId`` is missing.
        """
        dataset, table = reference.get("datasetId"), reference.get("tableId")
        if not dataset or not table:
            raise invalid("A table reference needs datasetId and tableId")
        return cls.parse(reference.get("projectId") or project, dataset, table)

    @classmethod
    def parse(cls, project: str, dataset: str, table: str) -> TableRef:
        """Build a reference, splitting the decorator from ``table``."""
        if "@" in table:
            raise limit(f"keep old versions of tables; leave out the decorator @{table.partition('@')[2]}")
        name, dollar, partition = table.partition("$")
        return cls(project, dataset, name, partition if dollar else None)

    @property
    def key(self) -> tuple[str, str, str]:
        """Project, dataset and table: the catalog's key."""
        return self.project, self.dataset, self.table

    @property
    def sql(self) -> str:
        """The table's name in DuckDB."""
        return f"{quoted(f'{self.project}__{self.dataset}')}.{quoted(self.table)}"

    def __str__(self) -> str:
        decorator = "" if self.partition is None else f"${self.partition}"
        return f"{self.project}:{self.dataset}.{self.table}{decorator}"


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The rows whose ``field`` is in [start, end); both are DuckDB literals."""

    field: str
    start: str
    end: str

    @property
    def predicate(self) -> str:
        """SQL condition that is true for the partition's rows. Rows with NULL are in no partition."""
        return f"{quoted(self.field)} >= {self.start} AND {quoted(self.field)} < {self.end}"


def partition_of(table: TableMeta, ref: TableRef) -> Partition:
    """Return the partition of ``table`` that the decorator of ``ref`` names.

    Raises:
        ValidationError: the table is not partitioned, or the id does not match its granularity.
    """
    partitioning = table.time_partitioning
    if partitioning is None or partitioning.field is None:
        raise invalid(
            f"Cannot use partition decorator ${ref.partition}: table {ref.project}:{ref.dataset}.{ref.table} is not "
            "partitioned"
        )
    column = by_name({"name": f.name, "type": f.type} for f in table.schema_.fields)[partitioning.field.lower()]
    start = _parse_id(ref, partitioning.type)
    boundary = _LITERALS[column["type"]]
    return Partition(
        field=column["name"],
        start=boundary.format(start),
        end=boundary.format(_next(start, partitioning.type)),
    )


def _parse_id(ref: TableRef, granularity: str) -> datetime:
    text = ref.partition or ""
    if len(text) == _ID_LENGTHS[granularity] and text.isascii() and text.isdecimal():
        try:
            start = datetime.strptime(text, ID_FORMATS[granularity])
        except ValueError:
            pass
        else:
            if start.year < _LAST_YEAR:
                return start
    if text.startswith("__"):
        raise limit(f"address the partition ${text}; use ids such as $202101")
    raise invalid(
        f"Invalid partition id ${text} for {ref}: the table is partitioned by {granularity}, which takes "
        f"{_ID_LENGTHS[granularity]} digits"
    )


def _next(start: datetime, granularity: str) -> datetime:
    if granularity == "YEAR":
        return start.replace(year=start.year + 1)
    if granularity == "MONTH":
        return (start + timedelta(days=31)).replace(day=1)
    return start + (timedelta(days=1) if granularity == "DAY" else timedelta(hours=1))


# --- Declarations in REST form ---------------------------------------------------------------------------------------


def parse_time_partitioning(
    raw: dict[str, Any], fields: Sequence[Field], *, require_filter: bool | None = None
) -> TimePartitioning:
    """Read ``timePartitioning`` for a table with the columns ``fields``.

    Raises:
        ValidationError: it names no column (ingestion time), a missing one, or one of an unsuitable type.
    """
    refuse_other_options("timePartitioning", raw, {"type", "field", "expirationMs", "requirePartitionFilter"})
    granularity = str(raw.get("type") or "DAY").upper()
    if granularity not in ID_FORMATS:
        raise invalid(f"Invalid time partitioning type {granularity!r}; one of {', '.join(ID_FORMATS)}")
    if not raw.get("field"):
        raise limit("support ingestion-time partitioning (_PARTITIONTIME); name the column in timePartitioning.field")
    column = by_name(fields).get(str(raw["field"]).lower())
    if column is None:
        raise invalid(f"The field specified for partitioning cannot be found in the schema: {raw['field']}")
    if column["type"] not in _LITERALS or column["mode"] == "REPEATED":
        raise invalid(
            f"The field specified for partitioning must be of type DATE, DATETIME or TIMESTAMP: {column['name']} is "
            f"{column['type']}"
        )
    if granularity == "HOUR" and column["type"] == "DATE":
        raise invalid(f"Cannot partition by HOUR on the DATE column {column['name']}")
    expiration = raw.get("expirationMs")
    filtered = raw.get("requirePartitionFilter") if require_filter is None else require_filter
    return TimePartitioning(
        type=granularity,  # type: ignore[arg-type]
        field=column["name"],
        expiration_ms=int(expiration) if expiration else None,
        require_partition_filter=bool(filtered),
    )


def check_same_partitioning(table: TableMeta, raw: dict[str, Any] | None, ref: TableRef) -> None:
    """Check that a job's ``timePartitioning``, if given, is that of the table it writes to.

    Raises:
        ValidationError: it is not; in BigQuery's wording.
    """
    if not raw:
        return
    refuse_other_options("timePartitioning", raw, {"type", "field", "expirationMs", "requirePartitionFilter"})
    given = _describe(str(raw.get("type") or "DAY").upper(), raw.get("field"))
    has = table.time_partitioning
    expected = _describe(has.type, has.field) if has else "none"
    if given.lower() != expected.lower():
        raise invalid(
            f"Incompatible table partitioning specification for {ref}. Expected partitioning specification "
            f"{expected}, but input partitioning specification is {given}"
        )


def _describe(granularity: str, field: str | None) -> str:
    return f"interval(type:{granularity.lower()}" + (f",field:{field})" if field else ")")


def parse_clustering(raw: dict[str, Any], fields: Sequence[Field]) -> Clustering | None:
    """Read ``clustering`` for a table with the columns ``fields``.

    Raises:
        ValidationError: a column is missing, repeated or of an unsuitable type; or there are more than four.
    """
    refuse_other_options("clustering", raw, {"fields"})
    names = list(raw.get("fields") or [])
    if not names:
        return None
    if len(names) > _MAX_CLUSTERING_FIELDS:
        raise invalid(f"At most {_MAX_CLUSTERING_FIELDS} clustering fields are allowed; got {len(names)}")
    columns = by_name(fields)
    for name in names:
        column = columns.get(name.lower())
        if column is None:
            raise invalid(f"The field specified for clustering cannot be found in the schema. Invalid field: {name}.")
        if column["mode"] == "REPEATED" or column["type"] in ("FLOAT", "RECORD", "JSON", "BYTES", "TIME"):
            raise invalid(f"Field {name} of type {column['type']} cannot be used for clustering")
    return Clustering(fields=tuple(columns[name.lower()]["name"] for name in names))
