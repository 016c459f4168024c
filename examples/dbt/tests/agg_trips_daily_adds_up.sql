-- The months whose trips or revenue differ between the fact table and the aggregate.
with facts as (
    select
        service_type,
        source_month,
        count(*) as trips,
        sum(total_amount) as total_amount
    from {{ ref('fct_trips') }}
    group by service_type, source_month
),

days as (
    select
        service_type,
        source_month,
        sum(trips) as trips,
        sum(total_amount) as total_amount
    from {{ ref('agg_trips_daily') }}
    group by service_type, source_month
)

select
    facts.service_type,
    facts.source_month,
    facts.trips,
    facts.total_amount,
    days.trips as trips_of_days,
    days.total_amount as total_amount_of_days
from facts
full join days on facts.service_type = days.service_type and facts.source_month = days.source_month
where
    coalesce(facts.trips, 0) <> coalesce(days.trips, 0)
    or coalesce(facts.total_amount, 0) <> coalesce(days.total_amount, 0)
