{% include "postgres/load/columns.sql" %}

-- Rejects rows of another month, and lets ATTACH PARTITION skip its scan of the table.
ALTER TABLE {{ new_staging() }}
ADD CONSTRAINT source_month_matches CHECK (source_month = DATE '{{ file().month.first_day }}');
