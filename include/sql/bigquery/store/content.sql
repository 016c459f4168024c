-- The number of rows, and the sum of their hashes: 36 bits of each keep it within INT64. The generation of the lake's
-- object is not part of the content: the same rows loaded again are the same content. MD5 and not FARM_FINGERPRINT,
-- which the embedded BigQuery computes in Python, twenty times slower.
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
