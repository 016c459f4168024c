-- Swaps the staging table in as the month's partition, in one transaction. Readers see the old month or the new one.
-- A retry after a try that was killed after its commit recognizes the partition by its comment and does nothing.
{%- from "postgres/locks.sql" import lock_table, lock_variables, name_holders, take_turn %}
{%- from "postgres/marks.sql" import mark, refuse_older, tell %}
{%- set table = "public." ~ dataset.table %}
{%- set staging = loaded_staging() %}
{%- set target = file().table %}
{%- set partition = "public." ~ target %}
DO $publish$
DECLARE
    {{- lock_variables() }}
BEGIN
    {{- take_turn("publish." ~ dataset.table) }}
    {{- refuse_older(target, staging, downloaded_at(), run_started_at()) }}
    IF to_regclass('{{ staging }}') IS NULL THEN
        IF split_part(obj_description(to_regclass('{{ partition }}'), 'pg_class'), E'\n', 1)
            = 'published from {{ staging }}' THEN
            RETURN;
        END IF;
        RAISE EXCEPTION 'staging table {{ staging }} does not exist: clear the whole run to load the month again';
    END IF;
    {{- lock_table(staging, "ACCESS EXCLUSIVE") }}
    IF to_regclass('{{ partition }}') IS NULL THEN
        -- A new partition does not wait for readers of the others.
        {{- lock_table(table, "SHARE UPDATE EXCLUSIVE") | indent }}
    ELSE
        -- The table before its partition, as readers lock them.
        {{- lock_table(table, "ACCESS EXCLUSIVE") | indent }}
        {{- lock_table(partition, "ACCESS EXCLUSIVE") | indent }}
        DROP TABLE {{ partition }};
    END IF;
    ALTER TABLE {{ staging }} SET SCHEMA public;
    ALTER TABLE public.{{ staging.split(".")[1] }} RENAME TO {{ target }};
    ALTER TABLE {{ table }} ATTACH PARTITION {{ partition }} FOR VALUES IN ('{{ file().month.first_day }}');
    -- The staging table's comment has come along with it.
    {{- mark(target, staging, partition, downloaded_at()) }}
    {{- tell(partition) }}
{{- name_holders() }}
END
$publish$;
