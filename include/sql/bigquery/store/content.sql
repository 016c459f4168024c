-- The number of rows, and the sum of their hashes; the modulus keeps it within INT64. The generation of the lake's
-- object is not part of the content: the same rows loaded again are the same content.
-- noqa: disable=LT02
SELECT
    COUNT(*) AS row_count,
    COALESCE(SUM(MOD(FARM_FINGERPRINT(TO_JSON_STRING(trip)), 1000000007)), 0) AS content_hash
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
