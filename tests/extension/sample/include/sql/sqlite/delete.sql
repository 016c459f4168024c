DELETE FROM {{ dataset.table }}
{%- if file().month %}
WHERE source_month = '{{ file().month.first_day }}'
{%- endif %}
