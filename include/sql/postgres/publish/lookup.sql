-- Replaces all rows in one transaction, which keeps views and grants on the table, and its readers reading. SELECT * is
-- safe: the staging table was created with the same columns in the same order.
{%- from "postgres/locks.sql" import lock_table, lock_variables, name_holders, take_turn %}
{%- from "postgres/marks.sql" import mark, refuse_older, tell %}
{%- set staging = loaded_staging() %}
{%- set target = dataset.table %}
DO $publish$
DECLARE
    {{- lock_variables() }}
BEGIN
    {{- take_turn("publish." ~ target) }}
    {{- refuse_older(target, staging, downloaded_at(), run_started_at()) }}
    {{- lock_table("public." ~ target, "SHARE ROW EXCLUSIVE") }}
    DELETE FROM public.{{ target }};
    INSERT INTO public.{{ target }} SELECT * FROM {{ staging }};  -- noqa: AM04
    {{- mark(target, staging, staging, downloaded_at()) }}
    {{- tell(staging) }}
{{- name_holders() }}
END
$publish$;
