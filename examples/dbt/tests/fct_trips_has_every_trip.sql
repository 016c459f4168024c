-- The months whose number of trips differs between the warehouse and the fact table.
with warehouse as (
    select
        service_type,
        source_month
    from {{ ref('stg_green_trips') }}
    union all
    select
        service_type,
        source_month
    from {{ ref('stg_yellow_trips') }}
),

published as (
    select
        service_type,
        source_month,
        count(*) as trips
    from warehouse
    group by service_type, source_month
),

facts as (
    select
        service_type,
        source_month,
        count(*) as trips
    from {{ ref('fct_trips') }}
    group by service_type, source_month
)

select
    published.service_type,
    published.source_month,
    published.trips,
    facts.trips as trips_of_facts
from published
full join facts on published.service_type = facts.service_type and published.source_month = facts.source_month
where coalesce(published.trips, 0) <> coalesce(facts.trips, 0)
