-- Adds the columns that a table created by an earlier version of the registry lacks; they come last, and partitions
-- inherit them. The lookup comes first because ALTER TABLE locks out readers even if the column already exists.
{%- from "postgres/locks.sql" import lock_variables, name_holders %}
DO $add_columns$
DECLARE
    lacking record;
    {{- lock_variables() }}
BEGIN
    awaited_mode := 'ACCESS EXCLUSIVE';
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
        SET LOCAL lock_timeout = '2s';
        FOR awaited IN
            SELECT 'public.{{ dataset.table }}'
            UNION ALL
            SELECT inhrelid::regclass FROM pg_inherits
            WHERE inhparent = 'public.{{ dataset.table }}'::regclass
        LOOP
            awaited_since := clock_timestamp();
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', awaited);
        END LOOP;
        EXECUTE format(
            'ALTER TABLE public.{{ dataset.table }} ADD COLUMN %I %s', lacking.name, lacking.type
        );
    END LOOP;
{{- name_holders() }}
END
$add_columns$;
