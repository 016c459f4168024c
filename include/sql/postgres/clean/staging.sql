-- Drops the staging tables of all tries of this run. Published rows are in the schema public.
{%- from "postgres/locks.sql" import lock_variables, name_holders %}
DO $clean$
DECLARE
    {{- lock_variables() }}
BEGIN
    awaited_mode := 'ACCESS EXCLUSIVE';
    SET LOCAL lock_timeout = '2s';
    FOR awaited IN
        SELECT 'staging.' || tablename FROM pg_tables
        WHERE schemaname = 'staging' AND tablename ~ '^{{ staging_table() }}_[0-9]+$'
    LOOP
        awaited_since := clock_timestamp();
        EXECUTE 'DROP TABLE IF EXISTS ' || awaited;
    END LOOP;
{{- name_holders() }}
END
$clean$;
