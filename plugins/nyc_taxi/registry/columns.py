"""Columns: their types, which sources have them, and the lineage that every table ends with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nyc_taxi.registry.months import Month


class Type(Enum):
    """The types a column can have, in every store."""

    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    DATE = "date"
    DATETIME = "datetime"  # wall-clock time of New York, without a zone


class Layout(Enum):
    """Where a source keeps its files, and in which format."""

    MIRROR = "mirror"  # the DataTalksClub release mirror: csv.gz, a folder for each dataset
    TLC = "tlc"  # the TLC's own server: Parquet, one folder for all


@dataclass(frozen=True)
class Column:
    """One column of a dataset.

    Attributes:
        name: the TLC's name, in the one spelling that every store uses.
        type: its type in every store.
        description: one sentence for the table's documentation.
        aliases: other names that files have for it; names are compared without regard to case.
        layouts: the layouts whose files must have it. In the others it is taken where it is there, and null where not.
        since: the first month whose files must have it; None if all must.
    """

    name: str
    type: Type
    description: str
    aliases: tuple[str, ...] = ()
    layouts: tuple[Layout, ...] = (Layout.MIRROR, Layout.TLC)
    since: Month | None = None

    def is_required(self, layout: Layout, month: Month | None) -> bool:
        """Whether a file of ``month`` in ``layout`` must have the column."""
        return layout in self.layouts and (self.since is None or (month is not None and month >= self.since))


# Last in every Parquet file and table: which published file a row came from.
LINEAGE = (
    Column("source_month", Type.DATE, "First day of the month whose file published the row."),
    Column("source_file", Type.STRING, "Name of the file that published the row."),
)
