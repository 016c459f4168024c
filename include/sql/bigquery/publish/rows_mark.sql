-- The mark of the month, or of the lookup table: the generation of the lake's object that its rows were loaded from.
SELECT COALESCE(MAX(lake_generation), 0) AS mark
FROM trips.{{ dataset.name }}
{%- if file().month %}
WHERE source_month = DATE '{{ file().month.first_day }}'
{%- endif %}
