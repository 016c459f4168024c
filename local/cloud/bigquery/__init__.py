"""The embedded BigQuery: bqemulator (REST on DuckDB) under a thin layer that makes it behave as the pipeline needs it.

Run it with ``python -m local.cloud.bigquery --port N --data-dir D --gcs-root R --project P``. It answers on 127.0.0.1
alone, on ``/healthz`` at once whatever runs, keeps everything in D, also through kill -9, and reads ``gs://`` from R.

Where things are:

- ``server`` puts the parts together; ``dispatch`` runs each request in a thread; ``store`` gives it a DuckDB cursor
  and, to write, the one writer's lock and a transaction that includes bqemulator's catalog
- ``routes`` and ``tables``: the REST routes that stand before bqemulator's; ``jobs``: ids, states, errors, cancelling
- ``queries``, ``loads``, ``copies``: the jobs; ``writes``: what they share, writing a table or a partition, whole
- ``parsing``: each statement is parsed once; ``statements``: what every one is checked for; ``ddl``, ``scripts``:
  statements that bqemulator cannot keep
- ``external_tables``, ``objects``, ``schemas``, ``partitions``, ``partition_filter``, ``limits``: each what it says

What the layer adds to bqemulator:

- External tables over Parquet, with Hive partition columns, through the API and DDL; new objects show at once.
- Jobs with a destination write it (bqemulator only says so). ``table$202101`` replaces, appends to, copies or deletes
  one partition; rows of another are refused. Every write is atomic; jobs into several partitions take turns.
- Load jobs bind Parquet columns by name, derive a schema from the file, check types, and change nothing if they fail.
- An object whose Hive partition value is not of its column's type, a MERGE or UPDATE that would change a row twice, DML
  without WHERE, and a copy between tables of other columns are errors.
- Partitioning, clustering, descriptions, labels, expirations and REQUIRED declared in DDL are kept, and enforced where
  BigQuery enforces them: expirations, NOT NULL, ``require_partition_filter``.
- Scripts: CREATE SCHEMA and CREATE TABLE with options, ASSERT, and transactions that are DuckDB's own: all or nothing,
  for readers too; a script that ends inside one is rolled back.
- A job id is used once. Jobs run beside each other and can be cancelled; reads never wait for writes.
- Row counts, logical sizes and INFORMATION_SCHEMA.PARTITIONS come from the data; dry runs give an upper bound of bytes.

Known limits. Each is answered with HTTP 400, or a failed job of reason ``invalid``, that names it:

- one project; legacy SQL; sessions; query parameters in scripts, and those of type BYTES, JSON or STRUCT
- partitioning by ingestion time or integer range; ``_PARTITIONTIME``, ``_FILE_NAME``; decorators such as ``$__NULL__``
- BIGNUMERIC; parameterized types; default values, constraints, collation, policy tags, encryption keys
- external tables other than Parquet; nested and repeated Parquet columns; external tables through wildcard tables
- load jobs of AVRO and ORC, bad records, other encodings than UTF-8, Hive partitioning in load jobs
- extract jobs, EXPORT DATA, LOAD DATA; streaming inserts; snapshots and clones, by DDL or copy job; FOR SYSTEM_TIME
- CREATE TABLE in EXECUTE IMMEDIATE and procedures; dry runs of anything but one SELECT
- a required partition filter must stand in the SELECT that names the table, where BigQuery also looks further out, and
  compare with what holds no column outside of a subquery
- ``MERGE ... INSERT ROW``; UPDATE of a table whose project has dashes and stands without backticks (a syntax error)
- Hive partition columns of other types than STRING, INTEGER, FLOAT, NUMERIC, BOOLEAN, DATE, DATETIME and TIMESTAMP; a
  partition value ``NULL``, which DuckDB takes for a missing one
- table names that differ by case only

And some that are no errors: there is no Storage API, so that the Python client's ``to_arrow`` and ``to_dataframe`` need
``create_bqstorage_client=False`` for more than 10,000 rows; the rows of the last 200 queries are kept in memory, and
are gone after a restart; the schema detected in CSV and JSON is DuckDB's guess; CAST of x.5 to INT64 rounds half to
even (2.5 gives 2), where BigQuery rounds away from zero as ``ROUND`` does in both, and CAST of the string '2.5' to
INT64 rounds, where BigQuery fails; whether a MERGE or UPDATE changes a row twice is looked up by a join of its own
before it runs, which doubles its time; ``MERGE ... ON FALSE`` is quadratic; an object whose name starts with a dot and
ends in digits looks like an unfinished upload and is not read.
"""
