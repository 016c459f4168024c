-- A table with the columns of the published one. LIKE would lock that one until the rows are in: no month of it could
-- be replaced meanwhile, and behind a replacement that waits, it could not even be read.
DO $create$
BEGIN
    EXECUTE (
        SELECT format(
            'CREATE TABLE {{ new_staging() }} (%s)',
            string_agg(
                format(
                    '%I %s%s',
                    attname,
                    format_type(atttypid, atttypmod),
                    CASE WHEN attnotnull THEN ' NOT NULL' END
                ),
                ', ' ORDER BY attnum
            )
        )
        FROM pg_attribute
        WHERE attrelid = 'public.{{ dataset.postgres_table }}'::regclass AND attnum > 0 AND NOT attisdropped
    );
END
$create$;
