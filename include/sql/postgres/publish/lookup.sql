-- Replaces all rows in one transaction; views and grants on the table stay. The comment says what they were made from.
-- Staging has the columns of the table, in its order: it was created LIKE it.
SELECT pg_advisory_xact_lock(hashtext('publish {{ dataset.postgres_table }}'));

DELETE FROM public.{{ dataset.postgres_table }};

INSERT INTO public.{{ dataset.postgres_table }}
SELECT * FROM {{ loaded_staging() }};  -- noqa: AM04

DO $comment$
BEGIN
    EXECUTE format(
        'COMMENT ON TABLE public.{{ dataset.postgres_table }} IS %L',
        concat_ws(
            E'\n',
            'published from {{ loaded_staging() }}',
            'published at ' || now(),
            obj_description('{{ loaded_staging() }}'::regclass, 'pg_class')
        )
    );
END
$comment$;
