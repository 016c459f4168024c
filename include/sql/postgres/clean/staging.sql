-- Drops the staging tables of all tries of this run. Published rows are in the schema public.
DO $clean$
DECLARE
    leftover text;
BEGIN
    FOR leftover IN
        SELECT tablename FROM pg_tables
        WHERE schemaname = 'staging' AND tablename ~ '^{{ staging_table() }}_[0-9]+$'
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS staging.%I', leftover);
    END LOOP;
END
$clean$;
