-- Serializes concurrent runs: with IF NOT EXISTS alone, two sessions that create the same name at once can still fail.
SELECT pg_advisory_xact_lock(hashtext('create ny_taxi'));

CREATE SCHEMA IF NOT EXISTS staging;

CREATE TABLE IF NOT EXISTS public.{{ dataset.table }} (
    {%- for column in dataset.columns %}
    "{{ column.name }}" {{ postgres_type(column) }}{{ "," if not loop.last }}
    {%- endfor %}
);

{% include "postgres/create/columns.sql" %}
