{% include "postgres/load/columns.sql" %}

-- The check makes sure that no row of another month gets in, and spares ATTACH PARTITION a scan of the table.
ALTER TABLE {{ new_staging() }}
ADD CONSTRAINT source_month_matches CHECK (source_month = DATE '{{ file().month.first_day }}');
