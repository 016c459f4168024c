-- The job's destination is the year's partition; WRITE_TRUNCATE replaces it in one step. What the partition has of
-- datasets that do not have the whole year now stays.
{%- set whole = whole_years() %}
{%- for dataset in trip_datasets if dataset.name in whole %}
SELECT
    '{{ dataset.name }}' AS dataset,
    source_month AS month,
    `{{ dataset.pickup_zone_column }}` AS `zone`,
    COUNT(*) AS trips
FROM trips.{{ dataset.name }}
WHERE source_month BETWEEN DATE '{{ year() }}-01-01' AND DATE '{{ year() }}-12-31'
GROUP BY source_month, `{{ dataset.pickup_zone_column }}`
UNION ALL
{%- endfor %}
SELECT
    dataset,
    month,
    `zone`,
    trips
FROM trips.yearly_rollup
WHERE
    month BETWEEN DATE '{{ year() }}-01-01' AND DATE '{{ year() }}-12-31'
    AND dataset NOT IN ('{{ whole | join("', '") }}')
