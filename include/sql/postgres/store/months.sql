-- Row count and comment of each partition (or of the unpartitioned table), in one snapshot.
SELECT
    source_month,
    count(*) AS row_count,
    obj_description(tableoid, 'pg_class') AS table_comment
FROM public.{{ dataset.table }}
{%- if month %}
WHERE source_month = DATE '{{ month.first_day }}'
{%- endif %}
GROUP BY source_month, tableoid
ORDER BY source_month
