-- The job's destination is the partition (for a lookup, the table); WRITE_TRUNCATE replaces it in one step. The job
-- fails and changes nothing if the destination was loaded from a newer object: an older run must not replace it.
-- noqa: disable=LT02
SELECT
{%- for column in dataset.columns %}
    `{{ column.name }}`,
{%- endfor %}
    {{ loaded_object().generation }} AS lake_generation
FROM trips_staging.{{ staging_table() }}
WHERE
    IF(
        (
            SELECT COALESCE(MAX(published.lake_generation), 0)
            FROM trips.{{ dataset.name }} AS published
{%- if file().month %}
            WHERE published.source_month = DATE '{{ file().month.first_day }}'
{%- endif %}
        ) <= {{ loaded_object().generation }},
        TRUE,
        ERROR('overtaken')
    )
