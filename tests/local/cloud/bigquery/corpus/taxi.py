"""Answers to the questions of the area ``taxi``, computed by pandas from the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd

from tests.local.cloud.bigquery.corpus.taxi_data import Taxi

Rows = list[list[Any]]
PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"


def compute(name: str, taxi: Taxi) -> Rows:
    """Return the answer to the case ``name``."""
    answer: Callable[[Taxi], pd.DataFrame] = globals()[name]
    return [[_plain(value) for value in row] for row in answer(taxi).itertuples(index=False)]


def _plain(value: Any) -> Any:
    if value is None or (not isinstance(value, list) and pd.isna(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return str(value.to_pydatetime())
    if isinstance(value, list | str | Decimal | bool):
        return str(value) if isinstance(value, Decimal) else value
    return value.item() if hasattr(value, "item") else value if isinstance(value, int | float) else str(value)


# --- Days, weeks, hours ----------------------------------------------------------------------------------------------


def trips_by_day(taxi: Taxi) -> pd.DataFrame:
    return _count(taxi.green[PICKUP].dt.date)


def trips_by_week(taxi: Taxi) -> pd.DataFrame:
    return _count(_week(taxi.green, "W-SAT"))


def trips_by_week_of_monday(taxi: Taxi) -> pd.DataFrame:
    return _count(_week(taxi.green, "W-SUN"))


def trips_by_iso_week(taxi: Taxi) -> pd.DataFrame:
    iso = taxi.green[PICKUP].dt.isocalendar()
    return taxi.green.groupby([iso["year"], iso["week"]]).size().reset_index().sort_values(["year", "week"])


def trips_by_month(taxi: Taxi) -> pd.DataFrame:
    return _count(taxi.green[PICKUP].dt.to_period("M").dt.start_time.dt.date)


def trips_by_hour(taxi: Taxi) -> pd.DataFrame:
    return _count(taxi.green[PICKUP].dt.hour)


def trips_by_full_hour(taxi: Taxi) -> pd.DataFrame:
    return _count(taxi.green[PICKUP].dt.floor("h")).tail(20)


def trips_by_weekday(taxi: Taxi) -> pd.DataFrame:
    pickup = taxi.green[PICKUP]
    sunday_first = (pickup.dt.day_of_week + 1) % 7 + 1
    counted = pickup.groupby([sunday_first.rename("number"), pickup.dt.day_name().rename("name")]).size()
    return counted.reset_index().sort_values("number")


def trips_by_day_without_gaps(taxi: Taxi) -> pd.DataFrame:
    counts = taxi.green[PICKUP].dt.date.value_counts()
    days = pd.date_range("2021-01-25", "2021-03-05")
    return pd.DataFrame({"day": days.date, "trips": [int(counts.get(day, 0)) for day in days.date]})


def trips_outside_their_month(taxi: Taxi) -> pd.DataFrame:
    month = pd.to_datetime(taxi.green["source_month"]).dt.to_period("M")
    outside = taxi.green[taxi.green[PICKUP].dt.to_period("M") != month]
    frame = pd.DataFrame({"source_month": outside["source_month"], "pickup": outside[PICKUP]})
    return frame.sort_values(["source_month", "pickup"])


# --- Money -----------------------------------------------------------------------------------------------------------


def revenue_by_zone_and_month(taxi: Taxi) -> pd.DataFrame:
    joined = taxi.green.merge(taxi.zones, left_on="PULocationID", right_on="LocationID")
    groups = joined.groupby(["Zone", "source_month"])
    frame = pd.DataFrame({"fare": _cents(groups["fare_amount"]), "total": _cents(groups["total_amount"])}).reset_index()
    return frame.assign(trips=groups.size().to_numpy()).sort_values(["Zone", "source_month"]).head(60)


def revenue_as_numeric(taxi: Taxi) -> pd.DataFrame:
    exact = taxi.green.groupby("source_month")["total_amount"].agg(lambda column: sum(map(_decimal, column)))
    return exact.map(_normal).reset_index()


def mean_fare_as_numeric(taxi: Taxi) -> pd.DataFrame:
    groups = taxi.green.groupby("payment_type", dropna=False)["fare_amount"]
    exact = groups.agg(lambda column: sum(map(_decimal, column)) / len(column))
    means = exact.map(lambda value: _normal(value.quantize(Decimal("1e-9"), ROUND_HALF_UP)))
    return means.reset_index().sort_values("payment_type", na_position="first")


def growth_by_month(taxi: Taxi) -> pd.DataFrame:
    revenue = taxi.green.groupby("source_month")["total_amount"].sum().round(2)
    change = ((revenue - revenue.shift()) / revenue.shift() * 100).round(2)
    return pd.DataFrame({"revenue": revenue, "change": change}).reset_index()


def tips_by_payment(taxi: Taxi) -> pd.DataFrame:
    names = {1: "card", 2: "cash", 3: "no charge", 4: "dispute"}
    kind = taxi.green["payment_type"].map(names).astype("object").fillna("unknown").rename("kind")
    groups = taxi.green.groupby(kind)
    share = (groups["tip_amount"].sum() / groups["fare_amount"].sum() * 100).round(1)
    return pd.DataFrame({"trips": groups.size(), "share": share}).reset_index().sort_values("kind")


def refunds(taxi: Taxi) -> pd.DataFrame:
    refunded = taxi.green[taxi.green["total_amount"] < 0]
    return pd.DataFrame(
        {"trips": [len(refunded)], "total": [round(refunded["total_amount"].sum(), 2)], "all": [len(taxi.green)]}
    )


def fares_in_bands(taxi: Taxi) -> pd.DataFrame:
    return _count((taxi.green["fare_amount"] // 10).astype(int) * 10)


def fare_deciles(taxi: Taxi) -> pd.DataFrame:
    fares = taxi.green["fare_amount"].sort_values().reset_index(drop=True)
    size = len(fares) // 10
    decile = (fares.index // size + 1).rename("decile")
    groups = fares.groupby(decile)
    return pd.DataFrame({"lowest": groups.min(), "highest": groups.max(), "trips": groups.size()}).reset_index()


def largest_fares(taxi: Taxi) -> pd.DataFrame:
    fares = taxi.green.sort_values(["fare_amount", PICKUP], ascending=[False, True])
    return fares[["fare_amount", PICKUP, "PULocationID"]].head(10)


# --- Durations and percentiles ---------------------------------------------------------------------------------------


def durations(taxi: Taxi) -> pd.DataFrame:
    """Whole minutes, as the difference of timestamps is counted."""
    minutes = _seconds(taxi.green) // 60
    return pd.DataFrame({"n": [len(minutes)], "total": [int(minutes.sum())], "longest": [int(minutes.max())]})


def duration_boundaries(taxi: Taxi) -> pd.DataFrame:
    """Boundaries of minutes, as the difference of datetimes is counted."""
    minutes = (taxi.green[DROPOFF].dt.floor("min") - taxi.green[PICKUP].dt.floor("min")).dt.total_seconds() / 60
    return pd.DataFrame({"n": [len(minutes)], "total": [int(minutes.sum())], "longest": [int(minutes.max())]})


def duration_percentiles(taxi: Taxi) -> pd.DataFrame:
    quantiles = _seconds(taxi.green).quantile([0.5, 0.9, 0.99]).round(3)
    return pd.DataFrame([quantiles.to_list()])


def ninetieth_percentile_by_zone(taxi: Taxi) -> pd.DataFrame:
    seconds = _seconds(taxi.green)
    groups = seconds.groupby(taxi.green["PULocationID"])
    frame = pd.DataFrame({"p90": groups.quantile(0.9).round(3), "trips": groups.size()}).reset_index()
    return frame[frame["trips"] >= 20].sort_values("PULocationID")


def median_fare_discrete(taxi: Taxi) -> pd.DataFrame:
    medians = taxi.green.groupby("source_month")["fare_amount"].quantile(0.5, interpolation="lower")
    return medians.reset_index()


def speed_by_hour(taxi: Taxi) -> pd.DataFrame:
    seconds = _seconds(taxi.green)
    moving = taxi.green[(seconds >= 60) & (taxi.green["trip_distance"] > 0)]
    speed = moving["trip_distance"] / (_seconds(moving) / 3600)
    return speed.groupby(moving[PICKUP].dt.hour).mean().round(6).reset_index()


# --- Windows ---------------------------------------------------------------------------------------------------------


def running_total_by_day(taxi: Taxi) -> pd.DataFrame:
    days = taxi.green[taxi.green["source_month"].astype(str) == "2021-01-01"].groupby(taxi.green[PICKUP].dt.date)
    daily = days["total_amount"].sum().sort_index()
    return pd.DataFrame({"total": daily.round(2), "running": daily.cumsum().round(2)}).reset_index()


def moving_average_of_trips(taxi: Taxi) -> pd.DataFrame:
    counts = _count(taxi.green[PICKUP].dt.date)
    averages = counts.iloc[:, 1].rolling(7, min_periods=1).mean().round(6)
    return counts.assign(average=averages)


def top_zones_by_month(taxi: Taxi) -> pd.DataFrame:
    counts = taxi.green.groupby(["source_month", "PULocationID"]).size().rename("trips").reset_index()
    counts = counts.sort_values(["source_month", "trips", "PULocationID"], ascending=[True, False, True])
    counts["place"] = counts.groupby("source_month").cumcount() + 1
    return counts[counts["place"] <= 3]


def first_trip_by_zone(taxi: Taxi) -> pd.DataFrame:
    first = (
        taxi.green.sort_values([PICKUP, "total_amount", "DOLocationID"]).groupby("PULocationID", as_index=False).head(1)
    )
    return first[["PULocationID", PICKUP, "total_amount"]].sort_values("PULocationID").head(40)


def minutes_since_last_trip(taxi: Taxi) -> pd.DataFrame:
    busy = taxi.green[taxi.green["PULocationID"] == 74].sort_values(PICKUP)
    gaps = busy[PICKUP].diff().dt.total_seconds()
    return pd.DataFrame({"n": [len(busy)], "longest": [int(gaps.max())], "mean": [round(gaps.mean(), 6)]})


def share_of_zone(taxi: Taxi) -> pd.DataFrame:
    joined = taxi.green.merge(taxi.zones, left_on="PULocationID", right_on="LocationID")
    trips = joined.groupby("Borough").size()
    share = (trips / trips.sum() * 100).round(3)
    return pd.DataFrame({"trips": trips, "share": share}).reset_index().sort_values("Borough")


def longest_trip_of_each_day(taxi: Taxi) -> pd.DataFrame:
    trips = taxi.green.sort_values(["trip_distance", PICKUP], ascending=[False, True])
    best = trips.groupby(trips[PICKUP].dt.date).head(1)
    frame = pd.DataFrame({"day": best[PICKUP].dt.date, "miles": best["trip_distance"], "zone": best["PULocationID"]})
    return frame.sort_values("day")


# --- Models: staging, dimensions, facts ------------------------------------------------------------------------------


def surrogate_keys(taxi: Taxi) -> pd.DataFrame:
    keyed = taxi.green.assign(trip_id=_trip_ids(taxi.green)).sort_values("trip_id")
    return keyed[["trip_id", "VendorID", PICKUP]].drop_duplicates("trip_id").head(25)


def keys_without_duplicates(taxi: Taxi) -> pd.DataFrame:
    ids = _trip_ids(taxi.green)
    return pd.DataFrame({"trips": [len(ids)], "keys": [ids.nunique()]})


def key_of_amounts(taxi: Taxi) -> pd.DataFrame:
    """The text of a FLOAT64 and of a DATETIME is part of the key, so each digit counts."""
    rows = taxi.green.sort_values([PICKUP, "total_amount", "trip_distance", "DOLocationID"]).head(50)
    texts = [
        f"{_float_text(amount)}|{_float_text(miles)}|{pickup}"
        for amount, miles, pickup in zip(rows["total_amount"], rows["trip_distance"], rows[PICKUP], strict=True)
    ]
    return pd.DataFrame({"key": [_md5(text) for text in texts]})


def staged_types(taxi: Taxi) -> pd.DataFrame:
    rows = taxi.green[taxi.green["VendorID"].notna()].sort_values([PICKUP, "total_amount", "DOLocationID"]).head(20)
    return pd.DataFrame(
        {
            "vendor": rows["VendorID"].astype(str),
            "pickup": rows[PICKUP].map(lambda moment: f"{moment}+00"),
            "fare": rows["fare_amount"].map(_decimal).map(_normal),
            "flag": rows["store_and_fwd_flag"] == "Y",
            "passengers": rows["passenger_count"],
        }
    )


def fact_by_service(taxi: Taxi) -> pd.DataFrame:
    known = taxi.zones[taxi.zones["Borough"] != "Unknown"]["LocationID"]
    parts = []
    for service, frame in (("Green", taxi.green), ("Yellow", taxi.yellow)):
        inside = frame[frame["PULocationID"].isin(known) & frame["DOLocationID"].isin(known)]
        groups = inside.groupby("source_month")
        part = pd.DataFrame({"trips": groups.size(), "total": _cents(groups["total_amount"])}).reset_index()
        parts.append(part.assign(service=service)[["service", "source_month", "trips", "total"]])
    return pd.concat(parts)


def airport_trips(taxi: Taxi) -> pd.DataFrame:
    airports = taxi.zones[taxi.zones["Zone"].str.contains("Airport")]
    joined = taxi.green.merge(airports, left_on="DOLocationID", right_on="LocationID")
    return joined.groupby("Zone").size().reset_index().sort_values("Zone")


def zones_without_pickups(taxi: Taxi) -> pd.DataFrame:
    january = taxi.green[taxi.green["source_month"].astype(str) == "2021-01-01"]
    missing = taxi.zones[~taxi.zones["LocationID"].isin(january["PULocationID"])]
    return missing[["LocationID"]].sort_values("LocationID")


def payments_by_vendor(taxi: Taxi) -> pd.DataFrame:
    known = taxi.green[taxi.green["VendorID"].notna()]
    table = known.pivot_table(index="VendorID", columns="payment_type", values="fare_amount", aggfunc="count").fillna(0)
    return table[[1, 2]].astype(int).reset_index()


def nulls(taxi: Taxi) -> pd.DataFrame:
    column = taxi.green["passenger_count"]
    answer = {"n": len(column), "known": column.notna().sum(), "mean": round(float(column.mean()), 9)}
    return pd.DataFrame([{**answer, "zero": int((column == 0).sum()), "fee": taxi.green["ehail_fee"].count()}])


def identical_rows(taxi: Taxi) -> pd.DataFrame:
    sizes = taxi.green.groupby(list(taxi.green.columns), dropna=False).size()
    return pd.DataFrame({"rows": [len(taxi.green)], "different": [len(sizes)], "most": [int(sizes.max())]})


def pairs_of_zones(taxi: Taxi) -> pd.DataFrame:
    groups = taxi.green.groupby(["PULocationID", "DOLocationID"])
    frame = pd.DataFrame({"trips": groups.size(), "miles": groups["trip_distance"].mean().round(6)}).reset_index()
    return frame[frame["trips"] >= 4].sort_values(
        ["trips", "PULocationID", "DOLocationID"], ascending=[False, True, True]
    )


def external_and_loaded(taxi: Taxi) -> pd.DataFrame:
    counts = taxi.green.groupby("source_month").size()
    totals = _cents(taxi.green.groupby("source_month")["total_amount"])
    return pd.DataFrame({"year": [2021, 2021], "month": [1, 2], "trips": counts.to_list(), "total": totals.to_list()})


def partitions(taxi: Taxi) -> pd.DataFrame:
    counts = taxi.green.groupby("source_month").size()
    return pd.DataFrame({"partition_id": [f"{month:%Y%m}" for month in counts.index], "rows": counts.to_list()})


def partitions_by_day(taxi: Taxi) -> pd.DataFrame:
    counts = _count(taxi.green[PICKUP].dt.date)
    return counts.assign(day=counts.iloc[:, 0].map("{:%Y%m%d}".format), n=counts.iloc[:, 1])[["day", "n"]]


def vendors(taxi: Taxi) -> pd.DataFrame:
    known = taxi.green.groupby("VendorID", dropna=False)
    return known.size().reset_index().sort_values("VendorID", na_position="first")


def night_trips(taxi: Taxi) -> pd.DataFrame:
    hours = taxi.green[PICKUP].dt.hour
    night = taxi.green[(hours >= 22) | (hours < 5)]
    return night.groupby(night[PICKUP].dt.year).size().reset_index()


def trips_of_a_parameter(taxi: Taxi) -> pd.DataFrame:
    february = taxi.green["source_month"].astype(str) == "2021-02-01"
    return pd.DataFrame({"trips": [int((february & taxi.green["PULocationID"].isin([74, 75, 41])).sum())]})


# --- Helpers ---------------------------------------------------------------------------------------------------------


def _count(keys: pd.Series) -> pd.DataFrame:
    return keys.groupby(keys).size().rename("trips").reset_index().sort_values(str(keys.name))


def _week(trips: pd.DataFrame, frequency: str) -> pd.Series:
    return trips[PICKUP].dt.to_period(frequency).dt.start_time.dt.date.rename("week")


def _seconds(trips: pd.DataFrame) -> pd.Series:
    return (trips[DROPOFF] - trips[PICKUP]).dt.total_seconds()


def _cents(groups: Any) -> pd.Series:
    return groups.sum().round(2)


def _decimal(value: float) -> Decimal:
    return Decimal(str(value))


def _normal(value: Decimal) -> Decimal:
    """Drop trailing zeros, as BigQuery does, without an exponent."""
    return Decimal(f"{value.normalize():f}")


def _float_text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _trip_ids(trips: pd.DataFrame) -> pd.Series:
    vendor = trips["VendorID"].astype("object").map(lambda one: "_null_" if pd.isna(one) else str(one))
    return pd.Series(
        [_md5(f"{one}-{when}") for one, when in zip(vendor, trips[PICKUP], strict=True)], index=trips.index
    )
