-- The months whose number of trips differs between the warehouse and the fact table.
with published as (
    select service_type, source_month, count(*) as trips
    from (
        select service_type, source_month from {{ ref('stg_green_trips') }}
        union all
        select service_type, source_month from {{ ref('stg_yellow_trips') }}
    )
    group by service_type, source_month
),

facts as (
    select service_type, source_month, count(*) as trips
    from {{ ref('fct_trips') }}
    group by service_type, source_month
)

select *
from published
full join facts using (service_type, source_month)
where coalesce(published.trips, 0) != coalesce(facts.trips, 0)
