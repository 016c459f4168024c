-- WRITE_TRUNCATE replaces the destination, the partition of the year, in one step. Datasets that are not complete for
-- the year keep the rows that the partition already has of them.
{%- set whole = whole_years() %}
{%- for dataset in trip_datasets if dataset.name in whole %}
SELECT
    '{{ dataset.name }}' AS dataset,
    source_month AS month,
    `{{ dataset.pickup_zone_column }}` AS `zone`,
    COUNT(*) AS trips,
    CURRENT_TIMESTAMP() AS counted_at
FROM trips.{{ dataset.name }}
WHERE source_month BETWEEN DATE '{{ year() }}-01-01' AND DATE '{{ year() }}-12-31'
GROUP BY source_month, `{{ dataset.pickup_zone_column }}`
UNION ALL
{%- endfor %}
SELECT
    dataset,
    month,
    `zone`,
    trips,
    counted_at
FROM trips.yearly_rollup
WHERE
    month BETWEEN DATE '{{ year() }}-01-01' AND DATE '{{ year() }}-12-31'
    AND dataset NOT IN ('{{ whole | join("', '") }}')
