-- The months whose trips or revenue differ between the fact table and the aggregate.
with facts as (
    select service_type, source_month, count(*) as trips, sum(total_amount) as total_amount
    from {{ ref('fct_trips') }}
    group by service_type, source_month
),

days as (
    select service_type, source_month, sum(trips) as trips, sum(total_amount) as total_amount
    from {{ ref('agg_trips_daily') }}
    group by service_type, source_month
)

select *
from facts
full join days using (service_type, source_month)
where
    coalesce(facts.trips, 0) != coalesce(days.trips, 0)
    or coalesce(facts.total_amount, 0) != coalesce(days.total_amount, 0)
