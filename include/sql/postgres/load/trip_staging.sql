-- The check makes sure that no row of another month gets in, and spares ATTACH PARTITION a scan of the table.
CREATE TABLE {{ new_staging() }} (
    LIKE public.{{ dataset.postgres_table }},
    CONSTRAINT source_month_matches CHECK (source_month = DATE '{{ file().month.first_day }}')
);
