"""The types that every store gives a column."""

from __future__ import annotations

import pyarrow as pa
import pytest

from nyc_taxi.parquet.schema import arrow_schema, arrow_type
from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.datasets import DATASETS, FHV, FHVHV, GREEN, YELLOW, ZONES
from nyc_taxi.registry.model import Dataset
from nyc_taxi.stores.bigquery.schema import bigquery_fields, bigquery_type
from nyc_taxi.stores.postgres.schema import postgres_type

INTEGER = (pa.int64(), "INT64", "INTEGER", "bigint")
FLOAT = (pa.float64(), "FLOAT64", "FLOAT", "double precision")
STRING = (pa.string(), "STRING", "STRING", "text")
DATE = (pa.date32(), "DATE", "DATE", "date")
DATETIME = (pa.timestamp("us"), "DATETIME", "DATETIME", "timestamp without time zone")

_AMOUNTS = dict.fromkeys(
    ("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge", "total_amount"), FLOAT
)
_LINEAGE = {"source_month": DATE, "source_file": STRING}
_TRIP = {
    "VendorID": INTEGER,
    "passenger_count": INTEGER,
    "trip_distance": FLOAT,
    "RatecodeID": INTEGER,
    "store_and_fwd_flag": STRING,
    "PULocationID": INTEGER,
    "DOLocationID": INTEGER,
    "payment_type": INTEGER,
    "congestion_surcharge": FLOAT,
    "cbd_congestion_fee": FLOAT,
    **_AMOUNTS,
    **_LINEAGE,
}
EXPECTED = {
    YELLOW.name: {
        **_TRIP,
        "tpep_pickup_datetime": DATETIME,
        "tpep_dropoff_datetime": DATETIME,
        "airport_fee": FLOAT,
    },
    GREEN.name: {
        **_TRIP,
        "lpep_pickup_datetime": DATETIME,
        "lpep_dropoff_datetime": DATETIME,
        "ehail_fee": FLOAT,
        "trip_type": INTEGER,
    },
    FHV.name: {
        "dispatching_base_num": STRING,
        "pickup_datetime": DATETIME,
        "dropOff_datetime": DATETIME,
        "PUlocationID": INTEGER,
        "DOlocationID": INTEGER,
        "SR_Flag": INTEGER,
        "Affiliated_base_number": STRING,
        **_LINEAGE,
    },
    FHVHV.name: {
        **dict.fromkeys(("hvfhs_license_num", "dispatching_base_num", "originating_base_num"), STRING),
        **dict.fromkeys(("pickup_datetime", "dropoff_datetime", "request_datetime", "on_scene_datetime"), DATETIME),
        **dict.fromkeys(("PULocationID", "DOLocationID", "SR_Flag", "trip_time"), INTEGER),
        **dict.fromkeys(("trip_miles", "base_passenger_fare", "tolls", "bcf", "sales_tax"), FLOAT),
        **dict.fromkeys(("congestion_surcharge", "airport_fee", "tips", "driver_pay", "cbd_congestion_fee"), FLOAT),
        **dict.fromkeys(("shared_request_flag", "shared_match_flag", "access_a_ride_flag"), STRING),
        **dict.fromkeys(("wav_request_flag", "wav_match_flag"), STRING),
        **_LINEAGE,
    },
    ZONES.name: {
        "LocationID": INTEGER,
        "Borough": STRING,
        "Zone": STRING,
        "service_zone": STRING,
        **_LINEAGE,
    },
}


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_every_column_has_its_type_in_every_store(dataset: Dataset) -> None:
    api_types = {field["name"]: field["type"] for field in bigquery_fields(dataset)}
    actual = {
        column.name: (arrow_type(column), bigquery_type(column), api_types[column.name], postgres_type(column))
        for column in dataset.columns
    }
    assert actual == EXPECTED[dataset.name]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_the_schemas_keep_the_registrys_order(dataset: Dataset) -> None:
    names = [column.name for column in dataset.columns]
    assert arrow_schema(dataset).names == names
    assert [field["name"] for field in bigquery_fields(dataset)] == names
    assert [field.type for field in arrow_schema(dataset)] == [arrow_type(column) for column in dataset.columns]


def test_a_field_of_the_bigquery_api() -> None:
    assert bigquery_fields(GREEN)[0] == {
        "name": "VendorID",
        "type": "INTEGER",
        "mode": "NULLABLE",
        "description": "The provider of the record.",
    }


@pytest.mark.parametrize("kind", Type)
def test_every_type_is_known_everywhere(kind: Type) -> None:
    column = Column("x", kind, "X.")
    assert (arrow_type(column), bigquery_type(column), postgres_type(column)) in [
        (arrow, sql, postgres) for arrow, sql, _, postgres in (INTEGER, FLOAT, STRING, DATE, DATETIME)
    ]
