-- Creates a staging table with the columns of the published one. CREATE TABLE ... LIKE would lock the published table
-- until this transaction ends: no month could be replaced meanwhile, and a waiting replacement would block its readers.
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
        WHERE attrelid = 'public.{{ dataset.table }}'::regclass AND attnum > 0 AND NOT attisdropped
    );
END
$create$;
