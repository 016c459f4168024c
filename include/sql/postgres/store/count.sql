SELECT count(*) AS row_count
FROM public.{{ dataset.table }}
{%- if month %}
WHERE source_month = DATE '{{ month.first_day }}'
{%- endif %}
