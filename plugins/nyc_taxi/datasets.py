"""The registry: every dataset that the pipeline moves, written once.

Columns, types, names in the lake and in the databases all come from here; ``schema`` derives the Arrow, BigQuery and
Postgres types. Adding a dataset means adding one entry: the DAGs, the tables and the integrity tests follow.

One contract holds for a dataset whatever its source: what a source's layout lacks is null. Names of columns are
compared without regard to case, because the files' spelling changes from month to month.

Sources: the TLC's data dictionaries (https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page) and the headers of
the DataTalksClub mirror's files (https://github.com/DataTalksClub/nyc-tlc-data).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath
from typing import ClassVar

from nyc_taxi.months import Month


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


class ContractError(ValueError):
    """A name, month or file does not agree with the registry; trying again cannot help."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset: what its source publishes and where it lives.

    Attributes:
        name: its name in DAG ids, in the lake and in BigQuery.
        title: its name for people.
        source_columns: the columns of its files, in the order that the tables keep.
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
        first_month: the first month that the sources of each layout have. Which is the last, the source itself says.
        pickup_column: the pickup time; tables are clustered by it.
        pickup_zone_column: the pickup zone; second in the clustering.
    """

    kind: ClassVar[str] = "trip"
    first_month: Mapping[Layout, Month] = field(hash=False)
    pickup_column: str
    pickup_zone_column: str

    def file(self, month: Month) -> PublishedFile:
        """The file of one month."""
        return PublishedFile(dataset=self, month=month)


@dataclass(frozen=True, kw_only=True)
class LookupDataset(Dataset):
    """A small dataset published as one file without months; its ``source_month`` is null.

    Attributes:
        source_path: where every source serves it.
    """

    kind: ClassVar[str] = "lookup"
    source_path: str

    def file(self) -> PublishedFile:
        """Its one file."""
        return PublishedFile(dataset=self, month=None)


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file that a source publishes, and the names of what becomes of it.

    Attributes:
        dataset: the dataset it belongs to.
        month: the month that it publishes; None for a dataset without months.
    """

    dataset: Dataset
    month: Month | None

    def source_path(self, layout: Layout) -> PurePosixPath:
        """Where a source with that layout serves the file, below its base URL.

        Raises:
            ContractError: the month lies before the source's first.
        """
        if isinstance(self.dataset, LookupDataset):
            return PurePosixPath(self.dataset.source_path)
        assert isinstance(self.dataset, TripDataset)
        assert self.month is not None
        first = self.dataset.first_month[layout]
        if self.month < first:
            raise ContractError(f"{self.dataset.name} begins with {first}; there is no {self.month}")
        stem = f"{self.dataset.name}_tripdata_{self.month}"
        if layout is Layout.TLC:
            return PurePosixPath("trip-data", f"{stem}.parquet")
        return PurePosixPath(self.dataset.name, f"{stem}.csv.gz")

    @property
    def parquet_name(self) -> str:
        """The file name of its Parquet: ``green_tripdata_2021-01.parquet``."""
        if isinstance(self.dataset, LookupDataset):
            return PurePosixPath(self.dataset.source_path).with_suffix(".parquet").name
        return f"{self.dataset.name}_tripdata_{self.month}.parquet"

    @property
    def lake_object(self) -> str:
        """The name of its object in the lake's bucket, in a Hive-style partition where there are months."""
        partition = f"year={self.month.year:04d}/month={self.month.month:02d}/" if self.month else ""
        return f"{self.dataset.name}/{partition}{self.parquet_name}"

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


def _columns(*specs: tuple[str, Type, str] | Column) -> tuple[Column, ...]:
    return tuple(spec if isinstance(spec, Column) else Column(*spec) for spec in specs)


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
_TLC_ONLY = (Layout.TLC,)
_AIRPORT_FEE = Column("airport_fee", Type.FLOAT, "Pickup fee at the airports, US dollars.", layouts=_TLC_ONLY)
_CBD_FEE = Column(
    "cbd_congestion_fee",
    Type.FLOAT,
    "Fee of the congestion relief zone, US dollars.",
    layouts=_TLC_ONLY,
    since=Month(2025, 1),
)


YELLOW = TripDataset(
    name="yellow",
    title="Yellow taxi trips",
    postgres_table="yellow_trips",
    # In 2009 and 2010 the TLC's files have coordinates instead of zones.
    first_month={Layout.MIRROR: Month(2019, 1), Layout.TLC: Month(2011, 1)},
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
        _AIRPORT_FEE,
        _CBD_FEE,
    ),
)

GREEN = TripDataset(
    name="green",
    title="Green taxi trips",
    postgres_table="green_trips",
    first_month={Layout.MIRROR: Month(2019, 1), Layout.TLC: Month(2014, 1)},
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
        _CBD_FEE,
    ),
)

_DISPATCHING_BASE = ("dispatching_base_num", Type.STRING, "Licence number of the base that dispatched the trip.")
_SHARED_RIDE = ("SR_Flag", Type.INTEGER, "1 if the trip was part of a shared ride, else empty.")

FHV = TripDataset(
    name="fhv",
    title="For-hire vehicle trips",
    postgres_table="fhv_trips",
    first_month={Layout.MIRROR: Month(2019, 1), Layout.TLC: Month(2015, 1)},
    pickup_column="pickup_datetime",
    pickup_zone_column="PUlocationID",
    source_columns=_columns(
        _DISPATCHING_BASE,
        ("pickup_datetime", Type.DATETIME, "When the trip began."),
        ("dropOff_datetime", Type.DATETIME, "When the trip ended."),
        ("PUlocationID", Type.INTEGER, "Taxi zone in which the trip began."),
        ("DOlocationID", Type.INTEGER, "Taxi zone in which the trip ended."),
        _SHARED_RIDE,
        ("Affiliated_base_number", Type.STRING, "Licence number of the base that the vehicle is affiliated with."),
    ),
)

FHVHV = TripDataset(
    name="fhvhv",
    title="High-volume for-hire vehicle trips",
    postgres_table="fhvhv_trips",
    first_month={Layout.MIRROR: Month(2019, 2), Layout.TLC: Month(2019, 2)},
    pickup_column="pickup_datetime",
    pickup_zone_column="PULocationID",
    source_columns=_columns(
        ("hvfhs_license_num", Type.STRING, "Licence number of the high-volume company."),
        _DISPATCHING_BASE,
        ("pickup_datetime", Type.DATETIME, "When the trip began."),
        ("dropoff_datetime", Type.DATETIME, "When the trip ended."),
        _PICKUP_ZONE,
        _DROPOFF_ZONE,
        Column(*_SHARED_RIDE, layouts=(Layout.MIRROR,)),
        *(
            Column(*spec, layouts=_TLC_ONLY)
            for spec in (
                ("originating_base_num", Type.STRING, "Licence number of the base that took the request."),
                ("request_datetime", Type.DATETIME, "When the passenger asked for the trip."),
                (
                    "on_scene_datetime",
                    Type.DATETIME,
                    "When the driver arrived at the pickup; accessible vehicles only.",
                ),
                ("trip_miles", Type.FLOAT, "Miles of the passenger trip."),
                ("trip_time", Type.INTEGER, "Seconds of the passenger trip."),
                ("base_passenger_fare", Type.FLOAT, "Fare before tolls, tips, taxes and fees, US dollars."),
                ("tolls", Type.FLOAT, "Tolls paid in the trip, US dollars."),
                ("bcf", Type.FLOAT, "Black Car Fund, US dollars."),
                ("sales_tax", Type.FLOAT, "Sales tax, US dollars."),
                _CONGESTION,
                ("airport_fee", Type.FLOAT, "Fee at the airports, US dollars."),
                ("tips", Type.FLOAT, "Tips, US dollars."),
                ("driver_pay", Type.FLOAT, "Paid to the driver, without tolls and tips, US dollars."),
                ("shared_request_flag", Type.STRING, "Y if the passenger agreed to share the ride."),
                ("shared_match_flag", Type.STRING, "Y if the ride was shared."),
                ("access_a_ride_flag", Type.STRING, "Y if the trip was on behalf of the MTA."),
                ("wav_request_flag", Type.STRING, "Y if a wheelchair-accessible vehicle was asked for."),
                ("wav_match_flag", Type.STRING, "Y if the vehicle was wheelchair-accessible."),
            )
        ),
        _CBD_FEE,
    ),
)

ZONES = LookupDataset(
    name="zones",
    title="Taxi zones",
    postgres_table="taxi_zones",
    source_path="misc/taxi_zone_lookup.csv",
    source_columns=_columns(
        ("LocationID", Type.INTEGER, "Id of the zone; trips refer to it."),
        ("Borough", Type.STRING, "Borough of the zone."),
        ("Zone", Type.STRING, "Name of the zone."),
        ("service_zone", Type.STRING, "Yellow zone, boro zone, airport or EWR."),
    ),
)

TRIP_DATASETS: tuple[TripDataset, ...] = (YELLOW, GREEN, FHV, FHVHV)
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
