CREATE TABLE staging.{{ staging_table() }}_{{ ti.try_number }} (LIKE public.{{ dataset.postgres_table }});
