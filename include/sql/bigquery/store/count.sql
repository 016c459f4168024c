SELECT COUNT(*) AS row_count
FROM trips.{{ dataset.name }}
{%- if month %}
WHERE source_month = DATE '{{ month.first_day }}'
{%- endif %}
