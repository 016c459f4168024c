-- Serializes concurrent runs: with IF NOT EXISTS alone, two sessions that create the same name at once can still fail.
{%- from "postgres/locks.sql" import name_holders, take_turn %}
DO $turn$
DECLARE
    awaited text;
    awaited_mode text;
BEGIN
    {{- take_turn("create.ny_taxi") }}
{{- name_holders() }}
END
$turn$;

CREATE SCHEMA IF NOT EXISTS staging;
