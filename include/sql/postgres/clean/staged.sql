-- The staging tables of one DAG's runs, with the first line of their comment, which names the run.
SELECT
    pg_class.relname AS table_name,
    split_part(obj_description(pg_class.oid, 'pg_class'), E'\n', 1) AS staged_by
FROM pg_class
INNER JOIN pg_namespace ON pg_class.relnamespace = pg_namespace.oid
WHERE
    pg_namespace.nspname = 'staging'
    AND pg_class.relkind = 'r'
    AND starts_with(obj_description(pg_class.oid, 'pg_class'), 'staged by {{ dag_id }} ')
ORDER BY pg_class.relname
