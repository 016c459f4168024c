-- Trips of one month: all, by pickup day and by pickup zone, with the refunds and the nulls of each column. Reads the
-- partition once. every_day is 1 in the row of all days, every_zone in the row of all zones.
SELECT
    pickup_day,
    pickup_zone,
    GROUPING(pickup_day) AS every_day,
    GROUPING(pickup_zone) AS every_zone,
    {%- for column in dataset.source_columns %}
    COUNTIF({{ column.name }} IS NULL) AS nulls_{{ loop.index0 }},
    {%- endfor %}
    COUNT(*) AS trips,
    {{ "COUNTIF(total_amount < 0)" if has_total else "0" }} AS refunds
FROM (
    SELECT
        *,
        DATE({{ dataset.pickup_column }}) AS pickup_day,
        {{ dataset.pickup_zone_column }} AS pickup_zone
    FROM trips.{{ dataset.name }}
    WHERE source_month = DATE '{{ month.first_day }}'
)
GROUP BY GROUPING SETS ((), (pickup_day), (pickup_zone))
