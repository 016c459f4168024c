-- Every row of a month, or of all months.
SELECT * -- noqa: AM04
FROM {{ dataset.table }}
{%- if month %}
WHERE source_month = '{{ month.first_day }}'
{%- endif %}
