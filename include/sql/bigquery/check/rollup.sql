-- Which partitions of the year the tables of trips have; from their metadata, so that no row is read.
SELECT
    table_name,
    partition_id
FROM trips.INFORMATION_SCHEMA.PARTITIONS -- noqa: CP02
WHERE
    STARTS_WITH(partition_id, '{{ year() }}')
    AND total_rows > 0
