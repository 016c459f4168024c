-- A table that an earlier version of the registry made gains the columns that it lacks, behind those that it has;
-- partitions follow their parent. ALTER TABLE locks out the table's readers even if it has nothing to do, so it is only
-- called if it has.
DO $add_columns$
DECLARE
    lacking record;
BEGIN
    FOR lacking IN
        SELECT name, type
        FROM (VALUES
{%- for column in dataset.columns %}
            ('{{ column.name }}', '{{ postgres_type(column) }}'){{ "," if not loop.last }}
{%- endfor %}
        ) AS contract (name, type)
        WHERE name NOT IN (
            SELECT attname FROM pg_attribute
            WHERE attrelid = 'public.{{ dataset.postgres_table }}'::regclass AND NOT attisdropped
        )
    LOOP
        EXECUTE format(
            'ALTER TABLE public.{{ dataset.postgres_table }} ADD COLUMN %I %s', lacking.name, lacking.type
        );
    END LOOP;
END
$add_columns$;
