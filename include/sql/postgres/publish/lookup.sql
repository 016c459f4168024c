-- Replaces all rows in one transaction, which keeps views and grants on the table. The table comment records what the
-- rows were made from. SELECT * is safe: the staging table was created with the same columns in the same order.
SELECT pg_advisory_xact_lock(hashtext('publish {{ dataset.table }}'));

DELETE FROM public.{{ dataset.table }};

INSERT INTO public.{{ dataset.table }}
SELECT * FROM {{ loaded_staging() }};  -- noqa: AM04

DO $comment$
BEGIN
    EXECUTE format(
        'COMMENT ON TABLE public.{{ dataset.table }} IS %L',
        concat_ws(
            E'\n',
            'published from {{ loaded_staging() }}',
            'published at ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US+00:00'),
            obj_description('{{ loaded_staging() }}'::regclass, 'pg_class')
        )
    );
END
$comment$;
