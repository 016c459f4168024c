-- WRITE_TRUNCATE replaces the destination, the partition of the month or the lookup table, in one step. If the
-- destination was loaded from a newer object, the job fails and changes nothing: an older run must not overwrite it.
-- noqa: disable=LT02
SELECT
{%- for column in dataset.columns %}
    `{{ column.name }}`,
{%- endfor %}
    {{ loaded_object().generation }} AS lake_generation
FROM {{ loaded_object().table }}
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
        ERROR('overtaken by a newer object of the lake')
    )
