-- Adds the columns that a table created by an earlier version of the registry lacks; they come last, and partitions
-- inherit them. The lookup comes first because ALTER TABLE locks out readers even if the column already exists.
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
            WHERE attrelid = 'public.{{ dataset.table }}'::regclass AND NOT attisdropped
        )
    LOOP
        EXECUTE format(
            'ALTER TABLE public.{{ dataset.table }} ADD COLUMN %I %s', lacking.name, lacking.type
        );
    END LOOP;
END
$add_columns$;
