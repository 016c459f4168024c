"""The registry: every dataset of the pipeline, declared once.

Each entry declares a dataset's columns with their types, its names in every store, and its checks. Everything else is
derived from it: DAGs, tables, schemas, tests and the generated documentation. To add a dataset, add one entry.

A dataset has one contract for all sources: columns that a source's layout lacks are null. Column names are compared
case-insensitively, because the files' spelling changes from month to month.

Sources: the TLC's data dictionaries (https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page) and the headers of
the DataTalksClub mirror's files (https://github.com/DataTalksClub/nyc-tlc-data).
"""

from __future__ import annotations

from nyc_taxi.registry.checks import (
    FIRST_ZONE,
    HAS_ROWS,
    LAST_ZONE,
    Checks,
    ColumnCheck,
    TableCheck,
    metered_trip_checks,
    not_null,
    trip_checks,
    warning,
    zones,
)
from nyc_taxi.registry.columns import Column, Gap, Layout, Type
from nyc_taxi.registry.model import ContractError, Dataset, LookupDataset, PublishedFile, TripDataset
from nyc_taxi.registry.months import Month


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
    table="yellow_trips",
    # The TLC's files of 2009 and 2010 have coordinates instead of zones.
    first_month={Layout.MIRROR: Month(2019, 1), Layout.TLC: Month(2011, 1)},
    pickup_column="tpep_pickup_datetime",
    pickup_zone_column="PULocationID",
    checks=metered_trip_checks(pickup="tpep_pickup_datetime", dropoff="tpep_dropoff_datetime"),
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
    table="green_trips",
    first_month={Layout.MIRROR: Month(2019, 1), Layout.TLC: Month(2014, 1)},
    pickup_column="lpep_pickup_datetime",
    pickup_zone_column="PULocationID",
    checks=metered_trip_checks(pickup="lpep_pickup_datetime", dropoff="lpep_dropoff_datetime"),
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
_AFFILIATED_BASE = (
    "Affiliated_base_number",
    Type.STRING,
    "Licence number of the base that the vehicle is affiliated with.",
)

FHV = TripDataset(
    name="fhv",
    title="For-hire vehicle trips",
    table="fhv_trips",
    first_month={Layout.MIRROR: Month(2019, 1), Layout.TLC: Month(2015, 1)},
    pickup_column="pickup_datetime",
    pickup_zone_column="PUlocationID",
    # The dispatching bases report unreliable data: in some rows every column but the pickup time is empty, and some
    # zone ids do not exist.
    checks=Checks(
        columns=not_null("pickup_datetime"),
        table=(
            *trip_checks(pickup="pickup_datetime", dropoff="dropOff_datetime"),
            *(
                warning(
                    f"has_few_unknown_zones_in_{column}",
                    0.01,
                    f'"{column}" NOT BETWEEN {FIRST_ZONE} AND {LAST_ZONE}',
                )
                for column in ("PUlocationID", "DOlocationID")
            ),
        ),
    ),
    source_columns=_columns(
        _DISPATCHING_BASE,
        ("pickup_datetime", Type.DATETIME, "When the trip began."),
        ("dropOff_datetime", Type.DATETIME, "When the trip ended."),
        ("PUlocationID", Type.INTEGER, "Taxi zone in which the trip began."),
        ("DOlocationID", Type.INTEGER, "Taxi zone in which the trip ended."),
        _SHARED_RIDE,
        # The TLC's own CSV files, from before it published Parquet, got the column in July 2020.
        Column(*_AFFILIATED_BASE, gaps=(Gap(Layout.MIRROR, Month(2019, 1), Month(2020, 6)),)),
    ),
)

FHVHV = TripDataset(
    name="fhvhv",
    title="High-volume for-hire vehicle trips",
    table="fhvhv_trips",
    first_month={Layout.MIRROR: Month(2019, 2), Layout.TLC: Month(2019, 2)},
    pickup_column="pickup_datetime",
    pickup_zone_column="PULocationID",
    checks=Checks(
        columns=(
            *not_null("pickup_datetime", "dropoff_datetime"),
            *zones("PULocationID", "DOLocationID"),
        ),
        table=(
            TableCheck(
                name="has_all_licenses_or_none",  # none if the file lacks the column
                condition='COUNT("hvfhs_license_num") = COUNT(*) OR COUNT("hvfhs_license_num") = 0',
            ),
            *trip_checks(pickup="pickup_datetime", dropoff="dropoff_datetime"),
            warning("has_few_distances_over_100_miles", 0.01, '"trip_miles" < 0 OR "trip_miles" > 100'),
        ),
    ),
    source_columns=_columns(
        # The mirror's file of June 2021 has fhv's columns: no licence, but an affiliated base.
        Column(
            "hvfhs_license_num",
            Type.STRING,
            "Licence number of the high-volume company.",
            gaps=(Gap(Layout.MIRROR, Month(2021, 6), Month(2021, 6)),),
        ),
        _DISPATCHING_BASE,
        ("pickup_datetime", Type.DATETIME, "When the trip began."),
        ("dropoff_datetime", Type.DATETIME, "When the trip ended."),
        _PICKUP_ZONE,
        _DROPOFF_ZONE,
        # Text, because the mirror's file of June 2021 has letters.
        Column("SR_Flag", Type.STRING, "1 or Y if the trip was part of a shared ride.", layouts=(Layout.MIRROR,)),
        Column(*_AFFILIATED_BASE, layouts=()),
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
    table="taxi_zones",
    source_path="misc/taxi_zone_lookup.csv",
    checks=Checks(
        columns=(ColumnCheck(column="LocationID", unique=True, at_least=FIRST_ZONE, at_most=LAST_ZONE),),
        table=(HAS_ROWS, TableCheck(name="has_every_zone", condition=f"COUNT(*) = {LAST_ZONE - FIRST_ZONE + 1}")),
    ),
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
        ContractError: the dataset is unknown; the message lists the known ones.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise ContractError(f"unknown dataset {name!r}; use one of {', '.join(DATASETS)}") from None


def published_file(dataset: str, month: str = "") -> PublishedFile:
    """Return the file that publishes a month of a dataset.

    Args:
        dataset: name of the dataset.
        month: the month, ``YYYY-MM``; empty for a dataset without months.

    Raises:
        ContractError: the dataset is unknown, has months and ``month`` is empty, or has none and ``month`` is set.
        MonthError: ``month`` is not a month.
    """
    found = get_dataset(dataset)
    if isinstance(found, TripDataset) and month:
        return found.file(Month.parse(month))
    if isinstance(found, LookupDataset) and not month:
        return found.file()
    if month:
        raise ContractError(f"{dataset} has no months; leave out the month {month}")
    raise ContractError(f"{dataset} needs a month, for example 2021-01")
