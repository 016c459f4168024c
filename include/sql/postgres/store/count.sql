SELECT count(*) AS row_count
FROM public.{{ dataset.postgres_table }}
{%- if month %}
WHERE source_month = DATE '{{ month.first_day }}'
{%- endif %}
