CREATE TABLE {{ new_staging() }} (LIKE public.{{ dataset.postgres_table }});
