-- Partitions that have rows, from the metadata alone; no table data is read.
-- noqa: disable=LT02
SELECT
    partition_id,
    last_modified_time
FROM trips.INFORMATION_SCHEMA.PARTITIONS -- noqa: CP02
WHERE
    table_name = '{{ dataset.name }}'
    AND total_rows > 0
{%- if month %}
    AND partition_id = '{{ month.partition_id }}'
{%- endif %}
