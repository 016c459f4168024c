-- Row count and sum of the hashes of the rows' text.
SELECT
    count(*) AS row_count,
    coalesce(sum(hashtextextended(trip::text, 0)), 0) AS content_hash -- noqa: CP05
FROM public.{{ dataset.table }} AS trip
{%- if month %}
WHERE trip.source_month = DATE '{{ month.first_day }}' -- noqa: CP05
{%- endif %}
