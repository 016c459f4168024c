"""The registry: every dataset that the pipeline moves, written once.

Columns, types, names in the lake and in the databases all come from here; ``schema`` derives the Arrow, BigQuery and
Postgres types. Adding a dataset means adding one entry: the DAGs, the tables and the integrity tests follow.

Sources: the TLC's data dictionaries (https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page) and the headers of
the DataTalksClub mirror's files (https://github.com/DataTalksClub/nyc-tlc-data).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from nyc_taxi.months import Month


class Type(Enum):
    """The types a column can have, in every store."""

    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    DATE = "date"
    DATETIME = "datetime"  # wall-clock time of New York, without a zone


@dataclass(frozen=True)
class Column:
    """One column of a dataset.

    Attributes:
        name: the TLC's name, in the one spelling that every store uses.
        type: its type in every store.
        description: one sentence for the table's documentation.
    """

    name: str
    type: Type
    description: str


# Last in every Parquet file and table: which published file a row came from.
LINEAGE = (
    Column("source_month", Type.DATE, "First day of the month whose file published the row."),
    Column("source_file", Type.STRING, "Name of the file that published the row."),
)


class ContractError(ValueError):
    """A name, month or file does not agree with the registry; trying again cannot help."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset: what its source publishes and where it lives.

    Attributes:
        name: its name in DAG ids, in the lake and in BigQuery.
        title: its name for people.
        source_columns: the columns its files must have, in the order that the tables keep.
        postgres_table: its table in the database ``ny_taxi``.
        kind: which of the SQL files under ``include/sql`` are its: ``trip`` or ``lookup``.
    """

    kind: ClassVar[str]
    name: str
    title: str
    source_columns: tuple[Column, ...]
    postgres_table: str

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its Parquet files and tables: those of the source, then the lineage."""
        return self.source_columns + LINEAGE


@dataclass(frozen=True, kw_only=True)
class TripDataset(Dataset):
    """A dataset published as one file a month.

    Attributes:
        first_month: the first month that the source has.
        pickup_column: the pickup time; tables are clustered by it.
        pickup_zone_column: the pickup zone; second in the clustering.
    """

    kind: ClassVar[str] = "trip"
    first_month: Month
    pickup_column: str
    pickup_zone_column: str

    def file(self, month: Month) -> PublishedFile:
        """The file of one month.

        Raises:
            ContractError: the month lies before the data begins.
        """
        if month < self.first_month:
            raise ContractError(f"{self.name} begins with {self.first_month}; there is no {month}")
        return PublishedFile(
            dataset=self,
            month=month,
            source_path=f"{self.name}/{self.name}_tripdata_{month}.csv.gz",
            lake_object=(
                f"{self.name}/year={month.year:04d}/month={month.month:02d}/{self.name}_tripdata_{month}.parquet"
            ),
        )


@dataclass(frozen=True, kw_only=True)
class LookupDataset(Dataset):
    """A small dataset published as one file without months; its ``source_month`` is null.

    Attributes:
        source_path: where the source serves it.
        lake_object: its object in the lake's bucket.
    """

    kind: ClassVar[str] = "lookup"
    source_path: str
    lake_object: str

    def file(self) -> PublishedFile:
        """Its one file."""
        return PublishedFile(dataset=self, month=None, source_path=self.source_path, lake_object=self.lake_object)


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file that a source publishes, and the names of what becomes of it.

    Attributes:
        dataset: the dataset it belongs to.
        month: the month that it publishes; None for a dataset without months.
        source_path: where the source serves it, in the mirror's layout.
        lake_object: the name of its object in the lake's bucket, in a Hive-style partition.
    """

    dataset: Dataset
    month: Month | None
    source_path: str
    lake_object: str

    @property
    def source_name(self) -> str:
        """Its file name: ``green_tripdata_2021-01.csv.gz``."""
        return self.source_path.rpartition("/")[2]

    @property
    def parquet_name(self) -> str:
        """The file name of its Parquet: ``green_tripdata_2021-01.parquet``."""
        return self.lake_object.rpartition("/")[2]

    @property
    def slug(self) -> str:
        """Dataset and month as part of an SQL identifier: ``green_2021_01``."""
        return f"{self.dataset.name}_{self.month.slug}" if self.month else self.dataset.name

    @property
    def bigquery_table(self) -> str:
        """The BigQuery table or partition that it fills: ``green$202101``."""
        return f"{self.dataset.name}${self.month.partition_id}" if self.month else self.dataset.name

    @property
    def postgres_table(self) -> str:
        """The Postgres table or partition that it fills: ``green_trips_2021_01``."""
        return f"{self.dataset.postgres_table}_{self.month.slug}" if self.month else self.dataset.postgres_table


def _columns(*specs: tuple[str, Type, str]) -> tuple[Column, ...]:
    return tuple(Column(*spec) for spec in specs)


_VENDOR = ("VendorID", Type.INTEGER, "The provider of the record.")
_RATE_CODE = ("RatecodeID", Type.INTEGER, "The rate in effect at the end of the trip.")
_STORE_AND_FORWARD = ("store_and_fwd_flag", Type.STRING, "Y if the record was held in the vehicle before sending.")
_PICKUP_ZONE = ("PULocationID", Type.INTEGER, "Taxi zone in which the meter was engaged.")
_DROPOFF_ZONE = ("DOLocationID", Type.INTEGER, "Taxi zone in which the meter was disengaged.")
_PASSENGERS = ("passenger_count", Type.INTEGER, "Number of passengers, as the driver entered it.")
_DISTANCE = ("trip_distance", Type.FLOAT, "Miles, by the taximeter.")
_PAYMENT = ("payment_type", Type.INTEGER, "How the passenger paid.")
_FARE = ("fare_amount", Type.FLOAT, "Time-and-distance fare, US dollars.")
_EXTRA = ("extra", Type.FLOAT, "Miscellaneous extras and surcharges, US dollars.")
_MTA_TAX = ("mta_tax", Type.FLOAT, "MTA tax, US dollars.")
_TIP = ("tip_amount", Type.FLOAT, "Credit-card tip, US dollars.")
_TOLLS = ("tolls_amount", Type.FLOAT, "Tolls paid in the trip, US dollars.")
_IMPROVEMENT = ("improvement_surcharge", Type.FLOAT, "Improvement surcharge, US dollars.")
_TOTAL = ("total_amount", Type.FLOAT, "Total charged to the passenger, without cash tips, US dollars.")
_CONGESTION = ("congestion_surcharge", Type.FLOAT, "State congestion surcharge, US dollars.")


YELLOW = TripDataset(
    name="yellow",
    title="Yellow taxi trips",
    postgres_table="yellow_trips",
    first_month=Month(2019, 1),
    pickup_column="tpep_pickup_datetime",
    pickup_zone_column="PULocationID",
    source_columns=_columns(
        _VENDOR,
        ("tpep_pickup_datetime", Type.DATETIME, "When the meter was engaged."),
        ("tpep_dropoff_datetime", Type.DATETIME, "When the meter was disengaged."),
        _PASSENGERS,
        _DISTANCE,
        _RATE_CODE,
        _STORE_AND_FORWARD,
        _PICKUP_ZONE,
        _DROPOFF_ZONE,
        _PAYMENT,
        _FARE,
        _EXTRA,
        _MTA_TAX,
        _TIP,
        _TOLLS,
        _IMPROVEMENT,
        _TOTAL,
        _CONGESTION,
    ),
)

GREEN = TripDataset(
    name="green",
    title="Green taxi trips",
    postgres_table="green_trips",
    first_month=Month(2019, 1),
    pickup_column="lpep_pickup_datetime",
    pickup_zone_column="PULocationID",
    source_columns=_columns(
        _VENDOR,
        ("lpep_pickup_datetime", Type.DATETIME, "When the meter was engaged."),
        ("lpep_dropoff_datetime", Type.DATETIME, "When the meter was disengaged."),
        _STORE_AND_FORWARD,
        _RATE_CODE,
        _PICKUP_ZONE,
        _DROPOFF_ZONE,
        _PASSENGERS,
        _DISTANCE,
        _FARE,
        _EXTRA,
        _MTA_TAX,
        _TIP,
        _TOLLS,
        ("ehail_fee", Type.FLOAT, "E-hail fee, US dollars; empty in practice."),
        _IMPROVEMENT,
        _TOTAL,
        _PAYMENT,
        ("trip_type", Type.INTEGER, "1 street-hail, 2 dispatch."),
        _CONGESTION,
    ),
)

ZONES = LookupDataset(
    name="zones",
    title="Taxi zones",
    postgres_table="taxi_zones",
    source_path="misc/taxi_zone_lookup.csv",
    lake_object="zones/taxi_zone_lookup.parquet",
    source_columns=_columns(
        ("LocationID", Type.INTEGER, "Id of the zone; trips refer to it."),
        ("Borough", Type.STRING, "Borough of the zone."),
        ("Zone", Type.STRING, "Name of the zone."),
        ("service_zone", Type.STRING, "Yellow zone, boro zone, airport or EWR."),
    ),
)

TRIP_DATASETS: tuple[TripDataset, ...] = (YELLOW, GREEN)
DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (*TRIP_DATASETS, ZONES)}


def get_dataset(name: str) -> Dataset:
    """Return the dataset called ``name``.

    Raises:
        ContractError: there is no such dataset; the message lists those there are.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise ContractError(f"unknown dataset {name!r}; there are {', '.join(DATASETS)}") from None
