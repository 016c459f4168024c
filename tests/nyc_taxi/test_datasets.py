"""The registry: names, contracts and ranges."""

from __future__ import annotations

import re

import pytest

from nyc_taxi.datasets import (
    DATASETS,
    GREEN,
    LINEAGE,
    TRIP_DATASETS,
    YELLOW,
    ZONES,
    ContractError,
    Dataset,
    Type,
    get_dataset,
)
from nyc_taxi.months import Month


def test_the_datasets_there_are() -> None:
    assert list(DATASETS) == ["yellow", "green", "zones"]
    assert all(DATASETS[name].name == name for name in DATASETS)
    assert TRIP_DATASETS == (YELLOW, GREEN)


def test_a_dataset_is_found_by_its_name() -> None:
    assert get_dataset("green") is GREEN
    assert get_dataset("zones") is ZONES


@pytest.mark.parametrize("name", ["blue", "Green", "", "green "])
def test_an_unknown_dataset_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ContractError) as error:
        get_dataset(name)
    assert str(error.value) == f"unknown dataset {name!r}; there are yellow, green, zones"


def test_the_names_of_a_trip_file() -> None:
    file = GREEN.file(Month(2021, 1))
    assert file.dataset is GREEN
    assert file.month == Month(2021, 1)
    assert file.source_path == "green/green_tripdata_2021-01.csv.gz"
    assert file.source_name == "green_tripdata_2021-01.csv.gz"
    assert file.lake_object == "green/year=2021/month=01/green_tripdata_2021-01.parquet"
    assert file.parquet_name == "green_tripdata_2021-01.parquet"
    assert file.slug == "green_2021_01"
    assert file.bigquery_table == "green$202101"
    assert file.postgres_table == "green_trips_2021_01"


def test_the_names_of_the_zones_file() -> None:
    file = ZONES.file()
    assert file.dataset is ZONES
    assert file.month is None
    assert file.source_path == "misc/taxi_zone_lookup.csv"
    assert file.source_name == "taxi_zone_lookup.csv"
    assert file.lake_object == "zones/taxi_zone_lookup.parquet"
    assert file.parquet_name == "taxi_zone_lookup.parquet"
    assert file.slug == "zones"
    assert file.bigquery_table == "zones"
    assert file.postgres_table == "taxi_zones"


def test_no_two_files_share_a_name() -> None:
    files = [
        dataset.file(Month(year, month)) for dataset in TRIP_DATASETS for year in (2019, 2020) for month in (1, 12)
    ]
    files.append(ZONES.file())
    for names in ("source_path", "lake_object", "slug", "bigquery_table", "postgres_table"):
        assert len({getattr(file, names) for file in files}) == len(files), names


@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_there_is_no_month_before_the_data_begins(dataset) -> None:
    first = dataset.first_month
    assert dataset.file(first).month == first
    with pytest.raises(ContractError) as error:
        dataset.file(Month(first.year - 1, 12))
    assert str(error.value) == f"{dataset.name} begins with {first}; there is no {first.year - 1}-12"


def test_where_the_data_begin() -> None:
    assert {dataset.name: str(dataset.first_month) for dataset in TRIP_DATASETS} == {
        "yellow": "2019-01",
        "green": "2019-01",
    }


# As the published files have them; see the TLC's data dictionaries.
HEADERS = {
    "yellow": "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,"
    "store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,"
    "improvement_surcharge,total_amount,congestion_surcharge",
    "green": "VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,RatecodeID,PULocationID,"
    "DOLocationID,passenger_count,trip_distance,fare_amount,extra,mta_tax,tip_amount,tolls_amount,ehail_fee,"
    "improvement_surcharge,total_amount,payment_type,trip_type,congestion_surcharge",
    "zones": "LocationID,Borough,Zone,service_zone",
}


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_the_columns_are_those_of_the_published_header(dataset: Dataset) -> None:
    assert ",".join(column.name for column in dataset.source_columns) == HEADERS[dataset.name]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_every_dataset_ends_with_the_lineage(dataset: Dataset) -> None:
    assert dataset.columns == dataset.source_columns + LINEAGE
    assert [(column.name, column.type) for column in LINEAGE] == [
        ("source_month", Type.DATE),
        ("source_file", Type.STRING),
    ]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_names_and_descriptions_are_safe_in_sql(dataset: Dataset) -> None:
    assert re.fullmatch(r"[a-z]+", dataset.name)
    assert re.fullmatch(r"[a-z_]+", dataset.postgres_table)
    assert "'" not in dataset.title
    lowered = [column.name.lower() for column in dataset.columns]
    assert len(set(lowered)) == len(lowered), "BigQuery's column names differ in more than case"
    for column in dataset.columns:
        assert re.fullmatch(r"[A-Za-z][A-Za-z_]*", column.name)
        assert not set(column.description) & set("'\"\\\n"), column
        assert column.description.endswith("."), column


@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_clustering_is_by_columns_that_are_there(dataset) -> None:
    types = {column.name: column.type for column in dataset.source_columns}
    assert types[dataset.pickup_column] is Type.DATETIME
    assert types[dataset.pickup_zone_column] is Type.INTEGER
