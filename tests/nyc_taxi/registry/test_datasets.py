"""The registry: names, contracts and ranges."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from nyc_taxi.registry.columns import LINEAGE, Layout, Type
from nyc_taxi.registry.datasets import DATASETS, FHV, FHVHV, GREEN, TRIP_DATASETS, YELLOW, ZONES, get_dataset
from nyc_taxi.registry.model import ContractError, Dataset, TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.schema import bigquery_columns


def test_the_registry_has_these_datasets() -> None:
    assert list(DATASETS) == ["yellow", "green", "fhv", "fhvhv", "zones"]
    assert all(DATASETS[name].name == name for name in DATASETS)
    assert TRIP_DATASETS == (YELLOW, GREEN, FHV, FHVHV)
    assert {name: dataset.kind for name, dataset in DATASETS.items()} == {
        **dict.fromkeys(("yellow", "green", "fhv", "fhvhv"), "trip"),
        "zones": "lookup",
    }


def test_a_dataset_is_found_by_its_name() -> None:
    assert get_dataset("green") is GREEN
    assert get_dataset("fhvhv") is FHVHV
    assert get_dataset("zones") is ZONES


@pytest.mark.parametrize("name", ["blue", "Green", "", "green "])
def test_an_unknown_dataset_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ContractError) as error:
        get_dataset(name)
    assert str(error.value) == f"unknown dataset {name!r}; use one of yellow, green, fhv, fhvhv, zones"


def test_the_names_of_a_trip_file() -> None:
    file = GREEN.file(Month(2021, 1))
    assert file.dataset is GREEN
    assert file.month == Month(2021, 1)
    assert file.source_path(Layout.MIRROR) == PurePosixPath("green/green_tripdata_2021-01.csv.gz")
    assert file.source_path(Layout.TLC) == PurePosixPath("trip-data/green_tripdata_2021-01.parquet")
    assert file.lake_object == "green/year=2021/month=01/green_tripdata_2021-01.parquet"
    assert file.parquet_name == "green_tripdata_2021-01.parquet"
    assert file.slug == "green_2021_01"
    assert file.bigquery_table == "green$202101"
    assert file.table == "green_trips_2021_01"


def test_the_names_of_the_zones_file() -> None:
    file = ZONES.file()
    assert file.dataset is ZONES
    assert file.month is None
    for layout in Layout:
        assert file.source_path(layout) == PurePosixPath("misc/taxi_zone_lookup.csv")
    assert file.lake_object == "zones/taxi_zone_lookup.parquet"
    assert file.parquet_name == "taxi_zone_lookup.parquet"
    assert file.slug == "zones"
    assert file.bigquery_table == "zones"
    assert file.table == "taxi_zones"


def test_no_two_files_share_a_name() -> None:
    files = [
        dataset.file(Month(year, month)) for dataset in TRIP_DATASETS for year in (2020, 2021) for month in (1, 12)
    ]
    files.append(ZONES.file())
    for names in ("lake_object", "parquet_name", "slug", "bigquery_table", "table"):
        assert len({getattr(file, names) for file in files}) == len(files), names
    for layout in Layout:
        assert len({file.source_path(layout) for file in files}) == len(files)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_a_source_has_no_month_before_its_first(dataset: TripDataset, layout: Layout) -> None:
    first = dataset.first_month[layout]
    assert f"_tripdata_{first}." in dataset.file(first).source_path(layout).name
    before = Month(first.year, first.month - 1) if first.month > 1 else Month(first.year - 1, 12)
    with pytest.raises(ContractError) as error:
        dataset.file(before).source_path(layout)
    assert str(error.value) == f"no {dataset.name} file for {before}: the source starts with {first}"


def test_the_first_month_of_each_source() -> None:
    first = {
        (dataset.name, layout.value): str(dataset.first_month[layout]) for dataset in TRIP_DATASETS for layout in Layout
    }
    assert first == {
        ("yellow", "mirror"): "2019-01",
        ("yellow", "tlc"): "2011-01",
        ("green", "mirror"): "2019-01",
        ("green", "tlc"): "2014-01",
        ("fhv", "mirror"): "2019-01",
        ("fhv", "tlc"): "2015-01",
        ("fhvhv", "mirror"): "2019-02",
        ("fhvhv", "tlc"): "2019-02",
    }


# The headers of the published files; see the TLC's data dictionaries.
MIRROR_HEADERS = {
    "yellow": "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,"
    "store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,"
    "improvement_surcharge,total_amount,congestion_surcharge",
    "green": "VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,RatecodeID,PULocationID,"
    "DOLocationID,passenger_count,trip_distance,fare_amount,extra,mta_tax,tip_amount,tolls_amount,ehail_fee,"
    "improvement_surcharge,total_amount,payment_type,trip_type,congestion_surcharge",
    "fhv": "dispatching_base_num,pickup_datetime,dropOff_datetime,PUlocationID,DOlocationID,SR_Flag,"
    "Affiliated_base_number",
    "fhvhv": "hvfhs_license_num,dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID,DOLocationID,"
    "SR_Flag",
    "zones": "LocationID,Borough,Zone,service_zone",
}
TLC_HEADERS = {
    "yellow": MIRROR_HEADERS["yellow"] + ",airport_fee,cbd_congestion_fee",
    "green": MIRROR_HEADERS["green"] + ",cbd_congestion_fee",
    "fhv": MIRROR_HEADERS["fhv"],
    "fhvhv": "hvfhs_license_num,dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID,DOLocationID,"
    "originating_base_num,request_datetime,on_scene_datetime,trip_miles,trip_time,base_passenger_fare,tolls,bcf,"
    "sales_tax,congestion_surcharge,airport_fee,tips,driver_pay,shared_request_flag,shared_match_flag,"
    "access_a_ride_flag,wav_request_flag,wav_match_flag,cbd_congestion_fee",
    "zones": MIRROR_HEADERS["zones"],
}


def _required(dataset: Dataset, layout: Layout, month: Month | None) -> str:
    return ",".join(column.name for column in dataset.source_columns if column.is_required(layout, month))


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_a_file_must_have_the_columns_of_the_published_header(dataset: Dataset) -> None:
    assert _required(dataset, Layout.MIRROR, Month(2021, 1)) == MIRROR_HEADERS[dataset.name]
    assert _required(dataset, Layout.TLC, Month(2025, 1)) == TLC_HEADERS[dataset.name]
    before = TLC_HEADERS[dataset.name].removesuffix(",cbd_congestion_fee")
    assert _required(dataset, Layout.TLC, Month(2024, 12)) == before
    assert _required(dataset, Layout.TLC, None) == before


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_the_contract_has_the_columns_of_both_layouts_and_no_others(dataset: Dataset) -> None:
    names = [column.name for column in dataset.source_columns]
    either = {*MIRROR_HEADERS[dataset.name].split(","), *TLC_HEADERS[dataset.name].split(",")}
    if dataset is FHVHV:
        either.add("Affiliated_base_number")  # only in the mirror's file of June 2021
    assert sorted(names) == sorted(either)


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_every_dataset_ends_with_the_lineage(dataset: Dataset) -> None:
    assert dataset.columns == dataset.source_columns + LINEAGE
    assert [(column.name, column.type) for column in LINEAGE] == [
        ("source_month", Type.DATE),
        ("source_file", Type.STRING),
    ]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_names_are_safe_in_sql(dataset: Dataset) -> None:
    assert re.fullmatch(r"[a-z]+", dataset.name)
    assert re.fullmatch(r"[a-z_]+", dataset.table)
    lowered = [column.name.lower() for column in dataset.columns]
    assert len(set(lowered)) == len(lowered), "BigQuery's column names differ in more than case"
    for column in dataset.columns:
        assert re.fullmatch(r"[A-Za-z][A-Za-z_]*", column.name)


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_a_title_is_a_phrase_and_every_description_is_one_sentence(dataset: Dataset) -> None:
    # Without a full stop: titles begin the description of a DAG, and are followed by a colon.
    assert re.fullmatch(r"[A-Z][^.\n]*", dataset.title)
    for column in bigquery_columns(dataset):
        # With an upper-case letter or a digit first, and the only full stop last.
        assert re.fullmatch(r"[A-Z0-9][^.\n]*\.", column.description), column


@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda dataset: dataset.name)
def test_clustering_is_by_columns_that_are_there(dataset: TripDataset) -> None:
    types = {column.name: column.type for column in dataset.source_columns}
    assert types[dataset.pickup_column] is Type.DATETIME
    assert types[dataset.pickup_zone_column] is Type.INTEGER
