-- Swaps the staging table in as the month's partition, in one transaction. Readers see the old month or the new one.
-- A retry after a try that was killed after its commit recognizes the partition by its comment and does nothing.
{%- set staging = loaded_staging() %}
{%- set partition = file().table %}
DO $publish$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('publish {{ dataset.table }}'));
    IF to_regclass('{{ staging }}') IS NULL THEN
        IF split_part(obj_description(to_regclass('public.{{ partition }}'), 'pg_class'), E'\n', 1)
            = 'published from {{ staging }}' THEN
            RETURN;
        END IF;
        RAISE EXCEPTION 'staging table {{ staging }} does not exist: clear the whole run to load the month again';
    END IF;
    DROP TABLE IF EXISTS public.{{ partition }};
    ALTER TABLE {{ staging }} SET SCHEMA public;
    ALTER TABLE public.{{ staging.split(".")[1] }} RENAME TO {{ partition }};
    ALTER TABLE public.{{ dataset.table }}
        ATTACH PARTITION public.{{ partition }} FOR VALUES IN ('{{ file().month.first_day }}');
    -- Keeps the staging table's comment, which records what the rows were made from.
    EXECUTE format(
        'COMMENT ON TABLE public.{{ partition }} IS %L',
        concat_ws(
            E'\n',
            'published from {{ staging }}',
            'published at ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'),
            obj_description('public.{{ partition }}'::regclass, 'pg_class')
        )
    );
END
$publish$;
