"""What a month of a dataset costs on Google Cloud: the bytes that are stored, loaded and read, at Google's list prices.

A month is as large as those that the project has, on average, or else as the constants below say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

YEARS = 15
# Millions of rows of a month: an assumption, at the level of busy years.
MILLIONS = {"yellow": 8.0, "green": 0.6, "fhv": 5.0, "fhvhv": 18.0}

# List prices in US dollars, in the multi-region US, as of September 2026; other places differ by some tenths. Loads are
# free. https://cloud.google.com/bigquery/pricing, https://cloud.google.com/storage/pricing
PER_TIB_READ = 6.25  # on demand; the first TiB of each month is free
PER_GIB_OF_TABLES = 0.02  # and a month, active logical storage; half of it after 90 days without a change
PER_GIB_OF_OBJECTS = 0.026  # and a month, Standard storage
# What a query bills at least for each table that it reads; and how often one load makes a query read a table: 3 checks,
# 2 of skip_unchanged, 1 for the mark and 2 for the publish, and 4 + 1 + 5 of the yearly rollup that follows.
LEAST_BILLED = 10 * 2**20
READS = 18


@dataclass(frozen=True)
class Sizes:
    """Bytes of a row of a dataset.

    Attributes:
        lake: of Parquet in the bucket.
        table: in the table, as BigQuery counts them.
        read: that the checks and the publish of a load read.
    """

    lake: float
    table: float
    read: float


# Of synthetic months in the TLC's layout, which has more columns than the mirror's. BigQuery's bytes are those of the
# embedded one, which counts by BigQuery's rules; a test counts them again.
SIZES = {
    "yellow": Sizes(lake=20.1, table=193, read=297),
    "green": Sizes(lake=18.4, table=172, read=276),
    "fhv": Sizes(lake=15.4, table=88, read=136),
    "fhvhv": Sizes(lake=36.6, table=211, read=291),
}
# After each month of each dataset, the yearly rollup counts two columns of the year so far of all datasets that are
# complete: half a year on average, and 1 + 2 + 3 + 4 datasets for the four months that arrive.
ROLLUP_BYTES = 16 * (1 + 12) / 2 * (1 + 2 + 3 + 4) / 4


@dataclass(frozen=True)
class Held:
    """What a project holds of a dataset; zeros where it holds nothing, or nothing is known.

    Attributes:
        objects: number of months in the lake's bucket.
        object_bytes: their size.
        partitions: number of months in the table.
        rows: in the table.
        table_bytes: the size of the table, as BigQuery counts it.
    """

    objects: int = 0
    object_bytes: int = 0
    partitions: int = 0
    rows: int = 0
    table_bytes: int = 0


@dataclass(frozen=True)
class Forecast:
    """A month of one dataset, or many months of all.

    Attributes:
        rows: number of trips.
        lake: bytes of Parquet in the bucket, which a load job reads for free.
        table: bytes in the table, as BigQuery counts them; also what the publish, the largest query, reads.
        read: bytes that the queries of a load bill.
    """

    rows: float
    lake: float
    table: float
    read: float

    @property
    def once(self) -> float:
        """US dollars for the queries of the load."""
        return self.read / 2**40 * PER_TIB_READ

    @property
    def monthly(self) -> float:
        """US dollars a month to keep it."""
        return (self.lake * PER_GIB_OF_OBJECTS + self.table * PER_GIB_OF_TABLES) / 2**30

    def __str__(self) -> str:
        return (
            f"{size(self.lake)} stored in the bucket and loaded for free, {size(self.table)} in tables, "
            f"{size(self.read)} read by queries: {dollars(self.once)} once, and {dollars(self.monthly)} a month to keep"
        )


def forecast(dataset: str, held: Held) -> tuple[Forecast, str]:
    """Return a month of a dataset, and on what its size is based."""
    of_row = SIZES[dataset]
    if held.rows and held.partitions:
        rows, based_on = held.rows / held.partitions, f"as the {held.partitions} in the table"
    elif held.objects:
        rows, based_on = held.object_bytes / held.objects / of_row.lake, f"as the {held.objects} in the bucket"
    else:
        rows, based_on = MILLIONS[dataset] * 1e6, "an assumption"
    lake = held.object_bytes / held.objects if held.objects else rows * of_row.lake
    table = rows * (held.table_bytes / held.rows if held.rows else of_row.table)
    # What queries read of a row grows with it.
    read = table * of_row.read / of_row.table + rows * ROLLUP_BYTES + READS * LEAST_BILLED
    return Forecast(rows, lake, table, read), based_on


def backfill(months: Sequence[Forecast]) -> Forecast:
    """Return ``YEARS`` years of all datasets, of each of which one month is given."""
    number = 12 * YEARS
    rows, lake, table, read = zip(*((one.rows, one.lake, one.table, one.read) for one in months), strict=True)
    return Forecast(number * sum(rows), number * sum(lake), number * sum(table), number * sum(read))


def size(number: float) -> str:
    """Return a number of bytes in decimal units, with three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if float(f"{number:.3g}") < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def dollars(amount: float) -> str:
    """Return an amount of US dollars, with the digits that say something."""
    return f"${amount:,.0f}" if amount >= 100 else f"${amount:.2f}" if amount >= 1 else f"${amount:.2g}"
