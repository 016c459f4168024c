-- Serializes concurrent runs: with IF NOT EXISTS alone, two sessions that create the same name at once can still fail.
{%- from "postgres/locks.sql" import lock_variables, name_holders, take_turn %}
DO $turn$
DECLARE
    {{- lock_variables() }}
BEGIN
    {{- take_turn("create.ny_taxi") }}
{{- name_holders() }}
END
$turn$;

CREATE SCHEMA IF NOT EXISTS staging;
