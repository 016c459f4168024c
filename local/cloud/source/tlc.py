"""The TLC's Parquet files: the columns that only they have, and their schema changes by month.

Names and types change with the calendar as in the published files, so some months of every dataset have incompatible
schemas:

=================  =========================  =====================================================================
dataset            column                     by month
=================  =========================  =====================================================================
yellow             airport_fee                null until 2019, INT32 in 2020, DOUBLE from 2021; spelt
                                              ``Airport_fee`` from 2023-02
yellow, green      passenger_count,           INT64 until 2019, DOUBLE from 2020-01 to 2023-01, INT64 from 2023-02
                   RatecodeID; green:
                   payment_type, trip_type
yellow, green,     VendorID, PULocationID,    INT64 until 2023-01, INT32 from 2023-02
fhvhv              DOLocationID
all                texts                      string until 2023-01, large_string from 2023-02
all but fhv        cbd_congestion_fee         present from 2025-01
yellow             ``__index_level_0__``      present, as last column, in 2010-02, 2010-03 and 2011-02
green              ehail_fee                  null, DOUBLE and INT64 in turn, beginning with null in January
fhv                drop-off time, zone ids    dropOff_datetime, PUlocationID, DOlocationID in odd months;
                                              dropoff_datetime, PULocationID, DOLocationID in even ones
fhv                zone ids                   DOUBLE in months 1, 2, 5, 6, 9, 10, INT64 in 3, 4, 7, 8, 11, 12
fhv                SR_Flag                    null from January to June, INT64 from July
=================  =========================  =====================================================================

Times are always in microseconds, without a time zone. The fees that only these files have are not included in the
totals, which are those of the mirror's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from local.cloud.source import zones
from local.cloud.source.datasets import (
    DATASETS,
    FLAG,
    HIGH_VOLUME_BASES,
    LICENSES,
    NULL,
    Columns,
    Kind,
    Part,
    Vocabulary,
)
from local.cloud.source.draws import Bools, Ints
from local.cloud.source.months import Month

INDEX = "__index_level_0__"
"""Name that pandas gives to a DataFrame's index when it writes it to Parquet by accident."""

_INDEX_MONTHS = (Month(2010, 2), Month(2010, 3), Month(2011, 2))
_INT32_BEGINS = Month(2023, 2)
_CENTER_FEE_BEGINS = Month(2025, 1)


@dataclass(frozen=True)
class Field:
    """One column of a Parquet file.

    Attributes:
        column: name of the drawn column.
        kind: how its integers are written.
        name: name of the column in the file.
        type: type of the column in the file.
    """

    column: str
    kind: Kind | Vocabulary
    name: str
    type: pa.DataType


def fields(dataset: str, month: Month) -> list[Field]:
    """Return the columns of a file, in order."""
    kinds = {**DATASETS[dataset].columns, **_MORE_KINDS}
    types, names = _types(dataset, month), _names(dataset, month)
    return [
        Field(column, kinds[column], names.get(column, column), types.get(column) or _usual_type(kinds[column], month))
        for column in _columns(dataset, month)
    ]


def more_columns(dataset: str, part: Part, columns: Columns) -> Columns:
    """Draw the columns that the Parquet file has in addition to ``columns``, those of the mirror."""
    if dataset == "fhvhv":
        return {**_high_volume(part, columns), "cbd_congestion_fee": _center_fee(columns, 150)}
    if dataset == "yellow":
        return {
            "airport_fee": _yellow_airport_fee(part, columns),
            "cbd_congestion_fee": _center_fee(columns, 75),
            INDEX: part.positions.copy(),
        }
    return {"cbd_congestion_fee": _center_fee(columns, 75)} if dataset == "green" else {}


# -- names and types ---------------------------------------------------------------------------------------------------

_HIGH_VOLUME_KINDS: Mapping[str, Kind | Vocabulary] = {
    "originating_base_num": HIGH_VOLUME_BASES,
    "request_datetime": Kind.MOMENT,
    "on_scene_datetime": Kind.MOMENT,
    "trip_miles": Kind.AMOUNT,
    "trip_time": Kind.NUMBER,
    **dict.fromkeys(("base_passenger_fare", "tolls", "bcf", "sales_tax", "congestion_surcharge"), Kind.AMOUNT),
    **dict.fromkeys(("airport_fee", "tips", "driver_pay"), Kind.AMOUNT),
    **dict.fromkeys(("shared_request_flag", "shared_match_flag"), FLAG),
    "access_a_ride_flag": (*FLAG, " "),
    **dict.fromkeys(("wav_request_flag", "wav_match_flag"), FLAG),
}
_MORE_KINDS = {**_HIGH_VOLUME_KINDS, "cbd_congestion_fee": Kind.AMOUNT, INDEX: Kind.NUMBER}


def _columns(dataset: str, month: Month) -> list[str]:
    columns = list(DATASETS[dataset].columns)
    if dataset == "fhvhv":
        more = list(_HIGH_VOLUME_KINDS)
        columns = [*columns[:2], *more[:3], *columns[2:-1], *more[3:]]  # without the mirror's last column, SR_Flag
    if dataset == "yellow":
        columns.append("airport_fee")
    if dataset != "fhv" and month >= _CENTER_FEE_BEGINS:
        columns.append("cbd_congestion_fee")
    if dataset == "yellow" and month in _INDEX_MONTHS:
        columns.append(INDEX)
    return columns


def _usual_type(kind: Kind | Vocabulary, month: Month) -> pa.DataType:
    if kind is Kind.MOMENT:
        return pa.timestamp("us")
    if kind is Kind.AMOUNT:
        return pa.float64()
    if kind is Kind.NUMBER:
        return pa.int64()
    return pa.string() if month < _INT32_BEGINS else pa.large_string()


def _types(dataset: str, month: Month) -> dict[str, pa.DataType]:
    """Return the types that differ from the usual one of their kind."""
    if dataset == "fhv":
        place = pa.float64() if month.number % 4 in (1, 2) else pa.int64()
        shared = pa.null() if month.number <= 6 else pa.int64()
        return {"PUlocationID": place, "DOlocationID": place, "SR_Flag": shared}
    whole = pa.int64() if month < _INT32_BEGINS else pa.int32()
    # pandas cannot store nulls in integer columns, and wrote integer columns with nulls as DOUBLE.
    count = pa.float64() if Month(2020, 1) <= month < _INT32_BEGINS else pa.int64()
    types = {
        **dict.fromkeys(("VendorID", "PULocationID", "DOLocationID"), whole),
        **dict.fromkeys(("passenger_count", "RatecodeID"), count),
    }
    if dataset == "yellow":
        types["airport_fee"] = pa.null() if month.year < 2020 else pa.int32() if month.year == 2020 else pa.float64()
    if dataset == "green":
        types |= dict.fromkeys(("payment_type", "trip_type"), count)
        types["ehail_fee"] = (pa.int64(), pa.null(), pa.float64())[month.number % 3]
    return types


def _names(dataset: str, month: Month) -> dict[str, str]:
    """Return the names that differ from the drawn column's."""
    if dataset == "yellow" and month >= _INT32_BEGINS:
        return {"airport_fee": "Airport_fee"}
    if dataset == "fhv" and month.number % 2 == 0:
        return {
            "dropOff_datetime": "dropoff_datetime",
            "PUlocationID": "PULocationID",
            "DOlocationID": "DOLocationID",
        }
    return {}


# -- values ------------------------------------------------------------------------------------------------------------

_UBER, _LYFT = LICENSES.index("HV0003"), LICENSES.index("HV0005")


def _yellow_airport_fee(part: Part, columns: Columns) -> Ints:
    """Return null until 2019, 0 in 2020, then a fee for pickups at airports; null for trips ordered by app."""
    if part.month.year < 2020:
        return part.constant(NULL)
    fee = 0 if part.month.year == 2020 else 125 if part.month.year < 2023 else 175
    charged = np.where(np.isin(columns["PULocationID"], zones.AIRPORTS_WITH_FEE), fee, 0)
    charged = np.where(columns["fare_amount"] < 0, -charged, charged)
    return np.where(columns["VendorID"] == NULL, NULL, charged)


def _center_fee(columns: Columns, fee: int) -> Ints:
    """Return the fee for trips from or to the congestion zone; negative for refunds."""
    charged = np.where(_touches(columns, zones.CENTER), fee, 0)
    return np.where(columns["fare_amount"] < 0, -charged, charged) if "fare_amount" in columns else charged


def _touches(columns: Columns, places: tuple[int, ...]) -> Bools:
    return np.isin(columns["PULocationID"], places) | np.isin(columns["DOLocationID"], places)


def _high_volume(part: Part, columns: Columns) -> Columns:
    draws, size, license_ = part.draws, part.size, columns["hvfhs_license_num"]
    pickup, seconds = columns["pickup_datetime"], columns["dropoff_datetime"] - columns["pickup_datetime"]
    on_scene = pickup - draws.between(0, 240, size)
    distance = seconds * draws.between(8, 30, size) // 36
    fare = 250 + distance * draws.between(150, 260, size) // 100 + seconds * 60 // 100
    by_lyft = license_ == _LYFT
    shared = draws.chance(15_000, size)
    accessible = draws.chance(2_000, size)
    return {
        "originating_base_num": np.where(by_lyft, NULL, columns["dispatching_base_num"]),
        "request_datetime": on_scene - draws.between(30, 900, size),
        "on_scene_datetime": np.where(by_lyft, NULL, on_scene),
        "trip_miles": distance,
        "trip_time": seconds,
        "base_passenger_fare": fare,
        "tolls": np.where(draws.chance(60_000, size) & (distance > 500), 655, 0),
        "bcf": fare * 3 // 100,
        "sales_tax": fare * 8_875 // 100_000,
        "congestion_surcharge": np.where(_touches(columns, zones.CENTER), 275, 0),
        "airport_fee": np.where(_touches(columns, zones.AIRPORTS_WITH_FEE), 250, 0),
        "tips": np.where(draws.chance(180_000, size), fare * draws.between(10, 25, size) // 100, 0),
        "driver_pay": fare * draws.between(65, 90, size) // 100,
        "shared_request_flag": shared.astype(np.int64),
        "shared_match_flag": (shared & draws.chance(300_000, size)).astype(np.int64),
        "access_a_ride_flag": np.where(license_ == _UBER, 2, 0),
        "wav_request_flag": accessible.astype(np.int64),
        "wav_match_flag": (accessible | draws.chance(60_000, size)).astype(np.int64),
    }
