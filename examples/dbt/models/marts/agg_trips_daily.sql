{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite',
    partition_by={'field': 'source_month', 'data_type': 'date', 'granularity': 'month'},
    cluster_by=['pickup_date', 'pickup_location_id'],
) }}

select
    source_month,
    service_type,
    date(pickup_datetime) as pickup_date,
    pickup_location_id,
    pickup_borough,
    pickup_zone,
    -- Counts and sums only: they can be added up further. An average is one sum divided by another.
    count(*) as trips,
    sum(passenger_count) as passengers,
    sum(duration_seconds) as duration_seconds,
    sum(trip_distance) as trip_distance,
    sum(fare_amount) as fare_amount,
    sum(tip_amount) as tip_amount,
    sum(total_amount) as total_amount,
    max(lake_generation) as lake_generation
from {{ ref('fct_trips') }}
{% if is_incremental() %}
where source_month in ({{ changed_months(ref('fct_trips')) }})
{% endif %}
group by source_month, service_type, pickup_date, pickup_location_id, pickup_borough, pickup_zone
