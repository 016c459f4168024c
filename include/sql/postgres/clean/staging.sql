-- Drops what any try of this run left in staging; nothing of it is published.
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
