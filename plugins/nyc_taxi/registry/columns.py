"""Columns: their types, the sources that have them, and the lineage columns at the end of every table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from nyc_taxi.registry.months import Month


class Type(Enum):
    """The types a column can have, in every store."""

    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    DATE = "date"
    DATETIME = "datetime"  # wall-clock time in New York, without a time zone


class Layout(Enum):
    """The paths and the format of a source's files."""

    MIRROR = "mirror"  # the DataTalksClub release mirror: csv.gz, one folder for each dataset
    TLC = "tlc"  # the TLC's own server: Parquet, one folder for all datasets


class Gap(NamedTuple):
    """A span of months, first and last included, in which files of one layout may lack a column that they else have."""

    layout: Layout
    first: Month
    last: Month

    def covers(self, layout: Layout, month: Month | None) -> bool:
        """Return whether a file of ``month`` in ``layout`` may lack the column."""
        return layout is self.layout and month is not None and self.first <= month <= self.last

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True)
class Column:
    """One column of a dataset.

    Attributes:
        name: the TLC's name, in the one spelling that every store uses.
        type: its type in every store.
        description: one sentence for the table's documentation.
        aliases: other names of the column in files; names are compared case-insensitively.
        layouts: the layouts whose files must have the column. In other layouts it is optional, and null if absent.
        since: the first month whose files must have the column; None if all must.
        gaps: spans of months whose files may lack the column.
    """

    name: str
    type: Type
    description: str
    aliases: tuple[str, ...] = ()
    layouts: tuple[Layout, ...] = (Layout.MIRROR, Layout.TLC)
    since: Month | None = None
    gaps: tuple[Gap, ...] = ()

    def is_required(self, layout: Layout, month: Month | None) -> bool:
        """Return whether a file of ``month`` in ``layout`` must have the column."""
        if layout not in self.layouts or any(gap.covers(layout, month) for gap in self.gaps):
            return False
        return self.since is None or (month is not None and month >= self.since)


# The last columns of every Parquet file and table: the published file that a row came from.
LINEAGE = (
    Column("source_month", Type.DATE, "First day of the month whose file published the row."),
    Column("source_file", Type.STRING, "Name of the file that published the row."),
)
