{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite',
    on_schema_change='fail',
    partition_by={
        'field': 'source_month',
        'data_type': 'date',
        'granularity': 'month',
        'copy_partitions': true,
    },
    cluster_by=['pickup_datetime', 'pickup_location_id'],
) }}

{% set columns = [
    'service_type', 'vendor_id', 'rate_code_id', 'pickup_location_id', 'dropoff_location_id', 'pickup_datetime',
    'dropoff_datetime', 'store_and_fwd_flag', 'passenger_count', 'payment_type', 'trip_distance', 'fare_amount', 'extra',
    'mta_tax', 'tip_amount', 'tolls_amount', 'improvement_surcharge', 'congestion_surcharge', 'total_amount',
    'source_month',
] %}

with trips as (
    select * from {{ ref('stg_green_trips') }}
    union all
    select * from {{ ref('stg_yellow_trips') }}
),

changed as (
    select
        *,
        {{ row_hash(columns) }} as row_hash
    from trips
    {% if is_incremental() %}
    where source_month in ({{ changed_months('trips') }})
    {% endif %}
),

numbered as (
    select
        *,
        -- Some trips are published several times with the same values, and all of them are real.
        row_number() over (partition by row_hash order by pickup_datetime) as occurrence
    from changed
)

select
    to_hex(md5(concat(trips.row_hash, '-', cast(trips.occurrence as string)))) as trip_id,
    {% for column in columns %}
    trips.{{ column }},
    {% endfor %}
    datetime_diff(trips.dropoff_datetime, trips.pickup_datetime, second) as duration_seconds,
    pickup.borough as pickup_borough,
    pickup.zone as pickup_zone,
    dropoff.borough as dropoff_borough,
    dropoff.zone as dropoff_zone,
    payment_types.payment_type_description,
    trips.lake_generation
from numbered as trips
-- Left joins: no trip is lost because its zone or payment type is unknown.
left join {{ ref('dim_zones') }} as pickup on trips.pickup_location_id = pickup.location_id
left join {{ ref('dim_zones') }} as dropoff on trips.dropoff_location_id = dropoff.location_id
left join {{ ref('payment_types') }} as payment_types on trips.payment_type = payment_types.payment_type
