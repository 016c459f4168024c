"""The synthetic datasets: the columns of the mirror's files, and how their rows are drawn.

The TLC's Parquet files have the same rows; module ``tlc`` adds the columns that only they have.

All values are integers here: times in seconds, amounts and distances in hundredths, texts as indexes of a vocabulary.
The proportions and quantiles were measured on published months; no row is copied from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from local.cloud.source import zones
from local.cloud.source.draws import Bools, Draws, Ints, quantiles, weighted
from local.cloud.source.months import Month, pickup_times

NULL = -(1 << 62)
"""Represents an empty field."""


class Kind(Enum):
    """How the integers of a column are written."""

    MOMENT = "seconds since 1970, as YYYY-MM-DD HH:MM:SS"
    AMOUNT = "hundredths, with one or two decimals"
    NUMBER = "a whole number"


Vocabulary = tuple[str, ...]
Columns = dict[str, Ints]

FLAG: Vocabulary = ("N", "Y")


@dataclass(frozen=True)
class Part:
    """Consecutive rows of a block of a file.

    Attributes:
        positions: their positions in the block.
        rows: number of rows in the block.
        draws: the random draws for these rows.
    """

    month: Month
    positions: Ints
    rows: int
    draws: Draws

    @property
    def size(self) -> int:
        return len(self.positions)

    def constant(self, value: int) -> Ints:
        return np.full(self.size, value, dtype=np.int64)


@dataclass(frozen=True)
class Dataset:
    """One dataset of the source.

    Attributes:
        columns: name and kind, or vocabulary, of each column, in the file's order.
        main: draws rows of the first block.
        tail: draws rows of the last block, in which some columns are always empty.
        tail_share: the last block's share of a month's rows, per mille.
    """

    columns: Mapping[str, Kind | Vocabulary]
    main: Callable[[Part], Columns]
    tail: Callable[[Part], Columns]
    tail_share: Callable[[Month], int]

    @property
    def pickup(self) -> str:
        return next(name for name in self.columns if "pickup" in name)

    @property
    def dropoff(self) -> str:
        return next(name for name in self.columns if "dropoff" in name.lower())


# -- amounts, durations and tables shared by yellow and green ----------------------------------------------------------

_YELLOW_HOURS = np.array(
    [27, 19, 14, 10, 8, 10, 21, 37, 46, 48, 47, 51, 54, 54, 56, 54, 54, 60, 67, 63, 56, 54, 49, 39]
)
_GREEN_HOURS = np.array([7, 4, 3, 3, 5, 11, 22, 45, 65, 78, 81, 76, 76, 79, 75, 73, 71, 59, 51, 41, 29, 19, 15, 12])
_YELLOW_WEEKDAYS = np.array([12, 14, 16, 17, 16, 14, 12])
_GREEN_WEEKDAYS = np.array([13, 15, 17, 16, 17, 13, 9])
_WHOLE_MINUTE_SHARE = 600_000

_PASSENGERS = weighted({1: 7200, 2: 1470, 3: 400, 4: 195, 5: 400, 6: 245, 0: 190, 7: 1, 8: 1, 9: 1})
_GREEN_PASSENGERS = weighted({1: 9010, 2: 600, 3: 80, 4: 35, 5: 170, 6: 85, 0: 20, 7: 1, 8: 1})
_RATES = weighted({1: 9680, 2: 225, 5: 60, 3: 18, 4: 12, 99: 3, 6: 2})
_GREEN_RATES = weighted({1: 9637, 5: 340, 2: 13, 4: 7, 3: 2, 99: 1})
_PAYMENTS = weighted({1: 7200, 2: 2730, 3: 50, 4: 20})
_GREEN_PAYMENTS = weighted({1: 6040, 2: 3880, 3: 65, 4: 15})
_REFUND_PAYMENTS = weighted({3: 75, 4: 25})

_DISTANCES = quantiles(
    [
        (0, 0),
        (8, 5),
        (10, 15),
        (50, 46),
        (250, 93),
        (500, 157),
        (750, 290),
        (880, 560),
        (950, 1080),
        (990, 1890),
        (1000, 4200),
    ]
)
_GREEN_DISTANCES = quantiles(
    [(0, 0), (30, 0), (50, 34), (250, 105), (500, 185), (750, 365), (880, 690), (950, 1150), (990, 1900), (1000, 6000)]
)
_LONG_DISTANCES = quantiles([(0, 1350), (500, 1760), (900, 2050), (1000, 2600)])
_TAIL_DISTANCES = quantiles([(0, 0), (20, 10), (250, 196), (500, 402), (750, 810), (950, 1850), (1000, 3900)])
_FAR_DISTANCES = np.array([9_124_411, 10_262_098, 18_284_032, 24_415_201])  # from broken meters

_TIP_PERCENT = weighted({20: 600, 25: 70, 15: 55, 10: 35, 30: 25, 18: 20, 0: 60})
_ROUND_TIPS = np.array([100, 100, 100, 200, 200, 150, 300, 500, 1000])
_OTHER_TOLLS = np.array([229, 280, 280, 841, 1175, 1375, 1224, 1250, 1787, 2050])
_TAIL_EXTRAS = weighted({275: 376, 0: 595, 550: 19, 135: 7, 100: 1, 409: 1, 825: 1})
_NEGOTIATED_FARES = quantiles([(0, 100), (100, 700), (400, 1500), (700, 3500), (950, 9000), (1000, 20_000)])


def _toll(month: Month) -> int:
    """Return the usual bridge and tunnel toll, in cents."""
    return 576 if month <= Month(2019, 3) else 612 if month <= Month(2021, 3) else 655


def _seconds(distance: Ints, draws: Draws) -> Ints:
    """Draw the duration of trips; a few take seconds and a few almost a day, as in the vendors' records."""
    count = len(distance)
    near = np.minimum(distance, 300)
    far = np.minimum(distance, 5000) - near
    seconds = 60 + (near * 340 + far * 150) // 100 * draws.between(60, 150, count) // 100
    seconds = np.where(draws.chance(1_500, count), draws.between(0, 5, count), seconds)
    return np.where(draws.chance(3_000, count), 86_399 - draws.below(600, count), seconds)


def _metered_fare(distance: Ints, seconds: Ints) -> Ints:
    """Return 2.50, plus 0.50 for each fifth of a mile and each minute of waiting."""
    waiting: Ints = np.minimum(seconds, 7200) // 60 * 55 // 100
    return 250 + 50 * (np.minimum(distance, 10_000) // 20 + waiting)


def _fare(distance: Ints, seconds: Ints, rate: Ints, draws: Draws) -> Ints:
    fare = _metered_fare(distance, seconds)
    fare = np.where(rate == 2, 5200, fare)  # between Manhattan and JFK
    fare = np.where(rate == 3, fare + 1750, fare)  # Newark
    return np.where(rate == 5, draws.pick(_NEGOTIATED_FARES, len(rate)) // 50 * 50, fare)


def _time_of_day_extra(pickup: Ints, rate: Ints) -> Ints:
    """Return 0.50 at night, and 1.00 in the evening rush hours of weekdays, or 4.50 for trips to or from JFK."""
    hour = pickup // 3600 % 24
    weekday = (pickup // 86400 + 3) % 7
    rush = (hour >= 16) & (hour < 20) & (weekday < 5)
    extra = np.where(rush, 100, np.where((hour >= 20) | (hour < 6), 50, 0))
    return np.where(rate == 2, np.where(rush, 450, 0), np.where(rate == 5, 0, extra))


def _tip(payment: Ints, before: Ints, draws: Draws) -> Ints:
    """Draw the tips: a percentage or a round sum for card payments; cash tips are not recorded."""
    count = len(payment)
    share = (np.maximum(before, 0) * draws.pick(_TIP_PERCENT, count) + 50) // 100
    tip = np.where(draws.chance(220_000, count), draws.pick(_ROUND_TIPS, count), share)
    return np.where(payment == 1, tip, 0)


def _tolls(distance: Ints, month: Month, draws: Draws, *, per_million: int) -> Ints:
    count = len(distance)
    paid = draws.chance(per_million, count) & (distance > 200) | draws.chance(per_million * 6, count) & (distance > 900)
    usual = draws.chance(930_000, count)
    return np.where(paid, np.where(usual, _toll(month), draws.pick(_OTHER_TOLLS, count)), 0)


@dataclass(frozen=True)
class Ride:
    """Columns of metered trips from which their amounts follow."""

    vendor: Ints
    payment: Ints
    pickup: Ints
    rate: Ints
    distance: Ints
    seconds: Ints


def _amounts(
    part: Part, ride: Ride, fare: Ints, tax: Ints, improvement: Ints, surcharge: Ints, *, toll_share: int
) -> Columns:
    """Return all amounts of metered trips; their totals add up."""
    extra = _time_of_day_extra(ride.pickup, ride.rate)
    due = fare + extra + tax + improvement + np.maximum(surcharge, 0)
    tolls = _tolls(ride.distance, part.month, part.draws, per_million=toll_share)
    tip = _tip(ride.payment, due + tolls, part.draws)
    return {
        "fare_amount": fare,
        # The first vendor also adds the congestion surcharge to "extra", although it is in the total only once.
        "extra": extra + np.where((ride.vendor == 1) & (surcharge > 0), surcharge, 0),
        "mta_tax": tax,
        "tip_amount": tip,
        "tolls_amount": tolls,
        "improvement_surcharge": improvement,
        "total_amount": due + tip + tolls,
        "congestion_surcharge": surcharge,
    }


def _refund_rows(part: Part, per_million: int) -> Ints:
    """Draw the rows that refund the row before them."""
    rows = np.flatnonzero(part.draws.chance(per_million, part.size))
    rows = rows[rows > 0]
    return rows[np.diff(rows, prepend=-1) > 1]


def _refund(columns: Columns, rows: Ints, negated: Sequence[str]) -> None:
    for name, values in columns.items():
        values[rows] = -values[rows - 1] if name in negated else values[rows - 1]


def _nothing_to_pay(columns: Columns, rows: Ints, draws: Draws) -> None:
    """Set vendor 2 and a payment type of disputed or no charge, on refunds and on the trips that they refund."""
    payment = draws.pick(_REFUND_PAYMENTS, len(rows))
    for offset in (0, 1):
        columns["VendorID"][rows - offset] = 2
        columns["payment_type"][rows - offset] = payment


# -- yellow ------------------------------------------------------------------------------------------------------------

_SURCHARGE_BEGINS = Month(2019, 2)
_FOURTH_VENDOR_ENDS = Month(2020, 1)
_YELLOW_AMOUNTS = (
    *("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge", "total_amount"),
    "congestion_surcharge",
)


def _yellow(part: Part) -> Columns:
    month, draws, size = part.month, part.draws, part.size
    vendors = {1: 376, 2: 615, 4: 9} if month < _FOURTH_VENDOR_ENDS else {1: 335, 2: 665}
    refunds = _refund_rows(part, 1_500 if month < Month(2020, 4) else 4_000)
    columns = {"VendorID": draws.pick(weighted(vendors), size), "payment_type": draws.pick(_PAYMENTS, size)}
    _nothing_to_pay(columns, refunds, draws)
    ride = _yellow_ride(part, columns["VendorID"], columns["payment_type"])
    from_zone = np.where(ride.rate == 2, zones.JFK_AIRPORT, draws.pick(zones.YELLOW_PICKUPS, size))
    to_zone = np.where(ride.rate == 3, zones.NEWARK_AIRPORT, draws.pick(zones.YELLOW_DROPOFFS, size))
    fare = _fare(ride.distance, ride.seconds, ride.rate, draws)
    tax = np.where(draws.chance(6_000, size) | (ride.rate == 5), 0, 50)
    improvement = np.where(draws.chance(500, size), 0, 30)
    surcharge = _yellow_surcharge(part)
    amounts = _amounts(part, ride, fare, tax, improvement, surcharge, toll_share=45_000)
    columns = {
        "VendorID": ride.vendor,
        "tpep_pickup_datetime": ride.pickup,
        "tpep_dropoff_datetime": ride.pickup + ride.seconds,
        "passenger_count": draws.pick(_PASSENGERS, size),
        "trip_distance": ride.distance,
        "RatecodeID": ride.rate,
        "store_and_fwd_flag": draws.chance(6_000, size).astype(np.int64),
        "PULocationID": from_zone,
        "DOLocationID": to_zone,
        "payment_type": ride.payment,
        **amounts,
    }
    _refund(columns, refunds, [name for name in _YELLOW_AMOUNTS if name != "congestion_surcharge"])
    with_surcharge = columns["congestion_surcharge"]
    with_surcharge[refunds] = np.where(with_surcharge[refunds] > 0, -with_surcharge[refunds], with_surcharge[refunds])
    return columns


def _yellow_ride(part: Part, vendor: Ints, payment: Ints) -> Ride:
    draws, size = part.draws, part.size
    pickup = pickup_times(
        part.month, draws, positions=part.positions, rows=part.rows, hours=_YELLOW_HOURS, weekdays=_YELLOW_WEEKDAYS
    )
    rate = draws.pick(_RATES, size)
    airport = (rate == 2) | (rate == 3)
    distance = np.where(airport, draws.pick(_LONG_DISTANCES, size), draws.pick(_DISTANCES, size))
    distance = np.where(vendor == 1, distance // 10 * 10, distance)  # this vendor's meters give one decimal
    return Ride(vendor, payment, pickup, rate, distance, _seconds(distance, draws))


def _yellow_surcharge(part: Part) -> Ints:
    """Draw the congestion surcharge: empty or 0 before its introduction, 2.50 for most trips since."""
    if part.month < _SURCHARGE_BEGINS:
        return np.where(part.draws.chance(632_700, part.size), NULL, 0)
    return np.where(part.draws.chance(905_000, part.size), 250, 0)


def _yellow_tail(part: Part) -> Columns:
    """Draw trips ordered by app, which have neither meter nor vendor."""
    month, draws, size = part.month, part.draws, part.size
    pickup = _dispatched_pickup(part, _YELLOW_HOURS, _YELLOW_WEEKDAYS)
    distance = draws.pick(_TAIL_DISTANCES, size) * 3 // 2
    early = month < Month(2020, 4)
    surcharge = np.where(draws.chance(0 if early else 300_000, size), 250, 0)
    return {
        "VendorID": part.constant(NULL),
        "tpep_pickup_datetime": pickup,
        "tpep_dropoff_datetime": _dispatched_dropoff(pickup, distance, draws),
        "passenger_count": part.constant(NULL),
        "trip_distance": distance,
        "RatecodeID": part.constant(NULL),
        "store_and_fwd_flag": part.constant(NULL),
        "PULocationID": draws.pick(zones.ANYWHERE, size),
        "DOLocationID": draws.pick(zones.ANYWHERE, size),
        "payment_type": part.constant(NULL),
        **_dispatched_amounts(part, distance, surcharge, extra=275 if early else 0, tax_share=900_000),
        "congestion_surcharge": surcharge,
    }


def _yellow_tail_share(month: Month) -> int:
    return 0 if month < Month(2020, 1) else 10 if month < Month(2020, 4) else 75


# -- green -------------------------------------------------------------------------------------------------------------

_GREEN_AMOUNTS = (
    *("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge", "total_amount"),
)


def _green(part: Part) -> Columns:
    draws, size = part.draws, part.size
    refunds = _refund_rows(part, 3_000)
    columns = {
        "VendorID": draws.pick(weighted({1: 178, 2: 822}), size),
        "payment_type": draws.pick(_GREEN_PAYMENTS, size),
    }
    _nothing_to_pay(columns, refunds, draws)
    ride = _green_ride(part, columns["VendorID"], columns["payment_type"])
    far = ride.distance > 10_000
    fare = _fare(np.where(far, 300, ride.distance), np.where(far, 900, ride.seconds), ride.rate, draws)
    tax = np.where((ride.rate == 5) | draws.chance(4_000, size), 0, 50)
    improvement = np.where(draws.chance(5_000, size), 0, 30)
    surcharge = np.where(draws.chance(223_000, size), 275, 0)
    surcharge[refunds - 1] = 0  # it is never negative in the green files
    amounts = _amounts(part, ride, fare, tax, improvement, surcharge, toll_share=25_000)
    columns = {
        "VendorID": ride.vendor,
        "lpep_pickup_datetime": ride.pickup,
        "lpep_dropoff_datetime": ride.pickup + ride.seconds,
        "store_and_fwd_flag": draws.chance(6_600, size).astype(np.int64),
        "RatecodeID": ride.rate,
        "PULocationID": draws.pick(zones.GREEN_PICKUPS, size),
        "DOLocationID": draws.pick(zones.GREEN_DROPOFFS, size),
        "passenger_count": draws.pick(_GREEN_PASSENGERS, size),
        "trip_distance": ride.distance,
        **amounts,
        "ehail_fee": part.constant(NULL),
        "payment_type": ride.payment,
        "trip_type": np.where((ride.rate == 5) & draws.chance(900_000, size), 2, 1),
    }
    _refund(columns, refunds, _GREEN_AMOUNTS)
    return columns


def _green_ride(part: Part, vendor: Ints, payment: Ints) -> Ride:
    draws, size = part.draws, part.size
    pickup = pickup_times(
        part.month, draws, positions=part.positions, rows=part.rows, hours=_GREEN_HOURS, weekdays=_GREEN_WEEKDAYS
    )
    rate = draws.pick(_GREEN_RATES, size)
    distance = np.where(rate == 2, draws.pick(_LONG_DISTANCES, size), draws.pick(_GREEN_DISTANCES, size))
    distance = np.where(vendor == 1, distance // 10 * 10, distance)
    distance = np.where(draws.chance(60, size), draws.pick(_FAR_DISTANCES, size), distance)
    return Ride(vendor, payment, pickup, rate, distance, _seconds(distance, draws))


def _green_tail(part: Part) -> Columns:
    """Draw trips ordered by app, which have neither meter, vendor nor congestion surcharge."""
    draws, size = part.draws, part.size
    pickup = _dispatched_pickup(part, _GREEN_HOURS, _GREEN_WEEKDAYS)
    distance = draws.pick(_TAIL_DISTANCES, size)
    distance = np.where(draws.chance(400, size), draws.pick(_FAR_DISTANCES, size), distance)
    fare_distance = np.minimum(distance, 4000)
    amounts = _dispatched_amounts(part, fare_distance, part.constant(0), extra=None, tax_share=3_400)
    return {
        "VendorID": part.constant(NULL),
        "lpep_pickup_datetime": pickup,
        "lpep_dropoff_datetime": _dispatched_dropoff(pickup, fare_distance, draws),
        "store_and_fwd_flag": part.constant(NULL),
        "RatecodeID": part.constant(NULL),
        "PULocationID": draws.pick(zones.ANYWHERE, size),
        "DOLocationID": draws.pick(zones.ANYWHERE, size),
        "passenger_count": part.constant(NULL),
        "trip_distance": distance,
        **amounts,
        "ehail_fee": part.constant(NULL),
        "payment_type": part.constant(NULL),
        "trip_type": part.constant(NULL),
        "congestion_surcharge": part.constant(NULL),
    }


def _dispatched_pickup(part: Part, hours: Ints, weekdays: Ints) -> Ints:
    """Draw pickup times of trips ordered by app; most are full minutes."""
    pickup = pickup_times(
        part.month, part.draws, positions=part.positions, rows=part.rows, hours=hours, weekdays=weekdays
    )
    whole: Bools = part.draws.chance(_WHOLE_MINUTE_SHARE if hours is _YELLOW_HOURS else 994_000, part.size)
    return np.where(whole, pickup // 60 * 60, pickup)


def _dispatched_dropoff(pickup: Ints, distance: Ints, draws: Draws) -> Ints:
    seconds = (240 + distance * 2) * draws.between(70, 150, len(pickup)) // 100
    return pickup + np.where(pickup % 60 == 0, seconds // 60 * 60, seconds)


def _dispatched_amounts(part: Part, distance: Ints, surcharge: Ints, *, extra: int | None, tax_share: int) -> Columns:
    """Draw amounts of trips ordered by app: to the cent, often with a fixed tip; a few fares are negative."""
    draws, size = part.draws, part.size
    fare = 1400 + distance * draws.between(170, 290, size) // 100 + draws.below(500, size)
    fare = np.where(draws.chance(1_000, size), -fare, fare)
    extras = draws.pick(_TAIL_EXTRAS, size) if extra is None else part.constant(extra)
    tax = np.where(draws.chance(tax_share, size), 50, 0)
    tip = np.where(draws.chance(460_000, size), 275, 0)
    tip = np.where(draws.chance(60_000, size), draws.between(77, 1500, size), tip)
    tolls = _tolls(distance, part.month, draws, per_million=90_000)
    improvement = part.constant(30)
    return {
        "fare_amount": fare,
        "extra": extras,
        "mta_tax": tax,
        "tip_amount": tip,
        "tolls_amount": tolls,
        "improvement_surcharge": improvement,
        "total_amount": fare + extras + tax + tip + tolls + improvement + surcharge,
    }


# -- for-hire vehicles -------------------------------------------------------------------------------------------------

_BASES = tuple(f"B{9 + index * 37 % 3300:05}" for index in range(420))
# Some bases pad their number with spaces. One field in each file ends in a no-break space.
_PADDED_BASES = tuple(base.ljust(15) if index % 11 == 0 else base for index, base in enumerate(_BASES))
_AFFILIATES = (*_PADDED_BASES, "B02533\N{NO-BREAK SPACE}")
_BROKEN_AFFILIATE = len(_AFFILIATES) - 1
LICENSES: Vocabulary = ("HV0003", "HV0004", "HV0005")
HIGH_VOLUME_BASES: Vocabulary = tuple(f"B0{2395 + index * 17}" for index in range(28))
_FAR_FUTURE = 33_105_888_000  # in the year 3019, out of range for timestamps in nanoseconds


def _for_hire(part: Part) -> Columns:
    month, draws, size = part.month, part.draws, part.size
    pickup = pickup_times(
        month, draws, positions=part.positions, rows=part.rows, hours=_YELLOW_HOURS, weekdays=_YELLOW_WEEKDAYS
    )
    base = draws.below(len(_BASES), size)
    dropoff = pickup + draws.between(120, 5400, size)
    affiliate = np.where(draws.chance(30_000, size), draws.below(len(_BASES), size), base)
    affiliate = np.where(draws.chance(4_000, size), NULL, affiliate)
    middle = part.positions == part.rows // 2
    return {
        "dispatching_base_num": base,
        "pickup_datetime": pickup,
        "dropOff_datetime": np.where(middle, _FAR_FUTURE + dropoff % 86_400, dropoff),
        "PUlocationID": np.where(draws.chance(810_000, size), NULL, draws.pick(zones.ANYWHERE, size)),
        "DOlocationID": np.where(draws.chance(150_000, size), NULL, draws.pick(zones.ANYWHERE, size)),
        "SR_Flag": part.constant(NULL),
        "Affiliated_base_number": np.where(middle, _BROKEN_AFFILIATE, affiliate),
    }


def _high_volume(part: Part) -> Columns:
    month, draws, size = part.month, part.draws, part.size
    pickup = pickup_times(
        month, draws, positions=part.positions, rows=part.rows, hours=_YELLOW_HOURS, weekdays=_YELLOW_WEEKDAYS
    )
    return {
        "hvfhs_license_num": draws.pick(weighted({0: 720, 1: 10, 2: 270}), size),
        "dispatching_base_num": draws.below(len(HIGH_VOLUME_BASES), size),
        "pickup_datetime": pickup,
        "dropoff_datetime": pickup + draws.between(90, 3600, size),
        "PULocationID": draws.pick(zones.ANYWHERE, size),
        "DOLocationID": draws.pick(zones.ANYWHERE, size),
        "SR_Flag": np.where(draws.chance(12_000, size), 1, NULL),
    }


def _no_tail(_month: Month) -> int:
    return 0


# -- the registry ------------------------------------------------------------------------------------------------------

_M, _A, _N = Kind.MOMENT, Kind.AMOUNT, Kind.NUMBER

DATASETS: Mapping[str, Dataset] = {
    "yellow": Dataset(
        columns={
            **{"VendorID": _N, "tpep_pickup_datetime": _M, "tpep_dropoff_datetime": _M, "passenger_count": _N},
            **{"trip_distance": _A, "RatecodeID": _N, "store_and_fwd_flag": FLAG, "PULocationID": _N},
            **{"DOLocationID": _N, "payment_type": _N},
            **dict.fromkeys(_YELLOW_AMOUNTS, _A),
        },
        main=_yellow,
        tail=_yellow_tail,
        tail_share=_yellow_tail_share,
    ),
    "green": Dataset(
        columns={
            **{"VendorID": _N, "lpep_pickup_datetime": _M, "lpep_dropoff_datetime": _M, "store_and_fwd_flag": FLAG},
            **{"RatecodeID": _N, "PULocationID": _N, "DOLocationID": _N, "passenger_count": _N, "trip_distance": _A},
            **{"fare_amount": _A, "extra": _A, "mta_tax": _A, "tip_amount": _A, "tolls_amount": _A, "ehail_fee": _A},
            **{"improvement_surcharge": _A, "total_amount": _A, "payment_type": _N, "trip_type": _N},
            **{"congestion_surcharge": _A},
        },
        main=_green,
        tail=_green_tail,
        tail_share=lambda _month: 460,
    ),
    "fhv": Dataset(
        columns={
            **{"dispatching_base_num": _PADDED_BASES, "pickup_datetime": _M, "dropOff_datetime": _M},
            **{"PUlocationID": _N, "DOlocationID": _N, "SR_Flag": _N, "Affiliated_base_number": _AFFILIATES},
        },
        main=_for_hire,
        tail=_for_hire,
        tail_share=_no_tail,
    ),
    "fhvhv": Dataset(
        columns={
            **{"hvfhs_license_num": LICENSES, "dispatching_base_num": HIGH_VOLUME_BASES, "pickup_datetime": _M},
            **{"dropoff_datetime": _M, "PULocationID": _N, "DOLocationID": _N, "SR_Flag": _N},
        },
        main=_high_volume,
        tail=_high_volume,
        tail_share=_no_tail,
    ),
}
