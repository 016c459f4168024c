FERRY = TripDataset(
    name="ferry",
    title="Ferry trips",
    table="ferry_trips",
    first_month={Layout.MIRROR: Month(2019, 1), Layout.TLC: Month(2019, 1)},
    pickup_column="boarding_datetime",
    pickup_zone_column="PULocationID",
    checks=Checks(
        columns=not_null("boarding_datetime"),
        table=(
            *trip_checks(pickup="boarding_datetime", dropoff="landing_datetime"),
            warning("has_few_free_trips", 0.5, '"fare" = 0'),
        ),
    ),
    source_columns=_columns(
        ("boarding_datetime", Type.DATETIME, "When the passenger went on board."),
        ("landing_datetime", Type.DATETIME, "When the passenger's ferry landed."),
        ("PULocationID", Type.INTEGER, "Taxi zone of the pier."),
        ("fare", Type.FLOAT, "Fare, US dollars."),
    ),
)
