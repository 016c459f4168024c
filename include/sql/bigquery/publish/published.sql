-- The generation of the lake's object that the published rows of the month, or of the lookup table, were loaded from.
SELECT COALESCE(MAX(lake_generation), 0) AS generation
FROM trips.{{ dataset.name }}
{%- if file().month %}
WHERE source_month = DATE '{{ file().month.first_day }}'
{%- endif %}
