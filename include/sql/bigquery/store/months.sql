-- Row count of each month, and the generation of the lake object that it was loaded from. Reads two columns.
SELECT
    {{ "source_month" if dataset.kind == "trip" else "CAST(NULL AS DATE)" }} AS first_day,
    COUNT(*) AS row_count,
    {# A table created by an earlier version of the registry gets this column with its next load. #}
    {{- "MAX(lake_generation)" if has_generation else "CAST(NULL AS INT64)" }} AS lake_generation
FROM trips.{{ dataset.name }}
{%- if month %}
WHERE source_month = DATE '{{ month.first_day }}'
{%- endif %}
GROUP BY first_day
ORDER BY first_day
