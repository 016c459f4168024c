-- The job's destination is the partition (for a lookup, the table); WRITE_TRUNCATE replaces it in one step.
SELECT
{%- for column in dataset.columns %}
    `{{ column.name }}`{{ "," if not loop.last }}
{%- endfor %}
FROM trips_staging.{{ staging_table() }}
