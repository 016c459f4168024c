-- Replaces all rows in one transaction; views and grants on the table stay.
-- Staging has the columns of the table, in its order: it was created LIKE it.
SELECT pg_advisory_xact_lock(hashtext('publish {{ dataset.postgres_table }}'));

DELETE FROM public.{{ dataset.postgres_table }};

INSERT INTO public.{{ dataset.postgres_table }}
SELECT * FROM {{ ti.xcom_pull("load_staging") }};  -- noqa: AM04
