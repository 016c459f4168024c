-- Trips of one month: all, by day and by pickup zone, with the refunds and the nulls of each column. Reads the partition
-- once. every_day is 1 in the row of all days, every_zone in the row of all zones.
SELECT
    day,
    zone,
    GROUPING(day) AS every_day,
    GROUPING(zone) AS every_zone,
    COUNT(*) AS trips,
    {{ "COUNTIF(total_amount < 0)" if has_total else "0" }} AS refunds,
    {%- for column in dataset.source_columns %}
    COUNTIF({{ column.name }} IS NULL) AS nulls_{{ loop.index0 }}{{ "," if not loop.last }}
    {%- endfor %}
FROM (
    SELECT
        *,
        DATE({{ dataset.pickup_column }}) AS day,
        {{ dataset.pickup_zone_column }} AS zone
    FROM trips.{{ dataset.name }}
    WHERE source_month = DATE '{{ month.first_day }}'
)
GROUP BY GROUPING SETS ((), (day), (zone))
