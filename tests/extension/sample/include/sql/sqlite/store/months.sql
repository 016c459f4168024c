-- Row count of each month (or of a dataset without months).
SELECT
    source_month,
    count(*) AS row_count
FROM {{ dataset.table }}
{%- if month %}
WHERE source_month = '{{ month.first_day }}'
{%- endif %}
GROUP BY source_month
ORDER BY source_month
