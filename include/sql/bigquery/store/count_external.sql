SELECT COUNT(*) AS row_count
FROM trips.{{ dataset.name }}_external
{%- if month %}
WHERE year = {{ month.year }} AND month = {{ month.month }}
{%- endif %}
