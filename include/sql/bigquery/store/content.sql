-- Row count and sum of the row hashes; 36 bits of each hash keep the sum within INT64. The lake generation is left out,
-- so that the same rows loaded again have the same content. MD5, because the embedded BigQuery computes
-- FARM_FINGERPRINT in Python, twenty times slower.
-- noqa: disable=LT02
SELECT
    COUNT(*) AS row_count,
    COALESCE(SUM(CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(TO_JSON_STRING(trip))), 1, 9)) AS INT64)), 0) AS content_hash
FROM (
    SELECT
{%- for column in dataset.columns %}
        `{{ column.name }}`{{ "," if not loop.last }}
{%- endfor %}
    FROM trips.{{ dataset.name }}
{%- if month %}
    WHERE source_month = DATE '{{ month.first_day }}'
{%- endif %}
) AS trip
