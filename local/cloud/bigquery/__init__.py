"""The embedded BigQuery: bqemulator (REST on DuckDB) under a layer that adds what the pipeline needs.

Run it with ``python -m local.cloud.bigquery --port N --data-dir D --gcs-root R --project P``. It listens on 127.0.0.1
only. ``/healthz`` answers at once, whatever runs. All data is in D and survives kill -9. ``gs://`` is read from R.

Modules:

- ``server`` assembles the parts; ``dispatch`` runs each request in a thread; ``store`` has the transactions
- ``routes`` and ``tables``: REST routes that take precedence over bqemulator's; ``jobs``: ids, states, cancelling
- ``queries``, ``loads``, ``copies``: the job types; ``writes``: atomic writes of a table or partition, for all of them
- ``statement_kinds``: the statements that run; ``statements``: checks of each of them
- ``ddl``: statements whose result bqemulator cannot keep
- ``translation``: what functions and operators mean for the types of their arguments
- ``estimates``: bytes that a query reads; ``table_ddl``: the DDL of a table
- ``query_parameters``, ``literals``: what a request's SQL has beside names; ``script_variables``: variables of scripts
- ``external_tables``, ``objects``, ``schemas``, ``partitions``, ``partition_filter``, ``limits``, ``nesting``,
  ``failures``: as their names say
- ``patches``: all that replaces parts of bqemulator and sqlglot, with the reasons

What the layer adds to bqemulator:

- External tables over Parquet with Hive partition columns, through the API and DDL; new objects are visible at once.
- Jobs with a destination write it (bqemulator only reports success). ``table$202101`` replaces, appends to, copies or
  deletes one partition, and rows of another partition are refused. Every write is atomic; jobs into several partitions
  take turns.
- Load jobs bind Parquet columns by name, derive the schema from the file, check types, and change nothing on failure.
- NUMERIC is DECIMAL(38, 9), and CAST rounds, fails and writes numbers as in BigQuery.
- Functions and operators by the types of their arguments: integers of 64 bits, overflow and division by zero as errors,
  NaN, elements of arrays, LIKE, FORMAT, regular expressions, JSON. Types that BigQuery does not let meet are refused
  in its words.
- Errors as in BigQuery: an object whose Hive partition value does not match its column's type, a MERGE or UPDATE that
  would change a row twice, UPDATE or DELETE without WHERE, a copy between tables with different columns.
- Partitioning, clustering, descriptions, labels, expirations and REQUIRED declared in DDL are kept. Expirations, NOT
  NULL and ``require_partition_filter`` are enforced.
- Scripts: CREATE SCHEMA and CREATE TABLE with options, ASSERT, CASE and REPEAT, variables of the declared types, system
  variables, and real transactions: atomic, also for readers. A script that ends inside a transaction is rolled back.
- A job id can be used once. Jobs run concurrently and can be cancelled; reads never wait for writes, but for those of a
  materialized view, which may have to be brought up to date.
- Row counts, logical sizes and INFORMATION_SCHEMA.PARTITIONS come from the data. Dry runs return the bytes of the
  columns that a query names, in the partitions that its filters leave. ``__TABLES__``,
  INFORMATION_SCHEMA.COLUMN_FIELD_PATHS and the column ``ddl`` of TABLES are there too.
- What only DuckDB has is refused: its functions, ILIKE, TRY_CAST, FILTER, DISTINCT ON. So are two columns of one name
  in a result, an alias of the SELECT list within it, and arrays with NULL in a result or a table.

Known limits. Each is answered with HTTP 400, or a failed job of reason ``invalid``, that names it:

- more than one project; legacy SQL; sessions; query parameters in scripts, of types such as INTERVAL,
  and BYTES and JSON in arrays and structs
- partitioning by ingestion time or integer range; ``_PARTITIONTIME``, ``_FILE_NAME``; decorators such as ``$__NULL__``
- CAST with FORMAT, other than of a date in digits; in PARSE functions the format elements ``%G %g %V %U %W %u`` and
  ``%j`` beside a month; format elements that are not documented; civil times outside of the years 1 to 9999 in a time
  zone
- the types BIGNUMERIC, GEOGRAPHY and RANGE; functions in JavaScript; parameterized types of columns; default values,
  constraints, collation, policy tags, encryption keys
- external tables other than Parquet; nested and repeated Parquet columns; external tables through wildcard tables
- load jobs of AVRO and ORC, bad records, encodings other than UTF-8, Hive partitioning in load jobs
- extract jobs, EXPORT DATA, LOAD DATA; streaming inserts; snapshots and clones, by DDL or copy job; FOR SYSTEM_TIME
- INFORMATION_SCHEMA of a region, JOBS and others of its views; views over INFORMATION_SCHEMA
- labels, and CONTINUE in REPEAT; a default dataset in scripts; the other system variables
- dry runs of anything but one SELECT
- BigQuery ML; the table functions APPENDS, CHANGES, EXTERNAL_QUERY, GAP_FILL and VECTOR_SEARCH; row access policies;
  search and vector indexes; aggregate functions; reservations; ALTER of schemas and views; of ALTER TABLE, RENAME TO,
  constraints, defaults and OPTIONS of a column, and several actions but ADD COLUMN
- a required partition filter outside of the SELECT that names the table (BigQuery also looks further out), or one that
  compares with a column outside of a subquery
- ``MERGE ... INSERT ROW``, and INSERT VALUES there without columns; UPDATE of one field of a struct
- Hive partition columns of types other than STRING, INTEGER, FLOAT, NUMERIC, BOOLEAN, DATE, DATETIME and TIMESTAMP; the
  partition value ``NULL``, which DuckDB reads as missing
- products and quotients of NUMERIC from 10^20 on, as an overflow; functions such as SQRT of NUMERIC, if the result
  needs more than 15 digits; ROUND of NUMERIC to a number of digits that is not a literal
- JSON functions and FORMAT of values of unknown type; functions of strings, regular expressions and LIKE of BYTES;
  CONTAINS_SUBSTR of arrays, structs and JSON
- functions with arguments of ANY TYPE, and those, other than table functions, whose body reads a table; some pipe
  operators; names such as ``out`` and ``regexp`` without backticks
- ``.*`` of an element, an expression in parentheses, or a column after its table
- an alias with a query parameter in HAVING, QUALIFY or a longer key of ORDER BY, if a column of FROM has its name
- collations other than the binary one; functions such as IFERROR, SEARCH and those of NET
- SUM of INTERVAL; APPROX_QUANTILES and PERCENTILE_CONT with RESPECT NULLS, NaN in PERCENTILE_CONT and PERCENTILE_DISC;
  PIVOT of a source whose columns are not known; USING with FLOAT64 and STRUCT
- STRUCTs in CASE, NULLIF and IN with a subquery or an array; structs whose fields have other names than those of the
  column, row or element that they are coerced to; numbers such as ``1e3+1``, whose sign needs a space
- table names that differ by case only
- statements of more than 300 nested levels

Differences without an error:

- There is no Storage API. A read of a whole table (``list_rows(...).to_dataframe()``) and results of more than 10,000
  rows and 10 MB ask for it, if ``google-cloud-bigquery-storage`` is installed: they need
  ``create_bqstorage_client=False``. Without that, they would go to Google, and ``grpc_proxy`` keeps them here.
- The rows of the last 200 queries are kept in memory and are lost at a restart.
- AVG of FLOAT64 beyond its range is infinite. ``'it''s'``, two literals without a space between them, is one string.
- A NULL array in a stored struct stays NULL, and NULL elements in such an array are kept.
- Where a type is not known (a column of a view over metadata), types that may not meet are not refused, and the
  product of two NUMERIC has more than nine decimals.
- The schema detected in CSV and JSON is DuckDB's.
- A MERGE or UPDATE takes twice as long: a join looks for rows that it would change twice.
- An object whose name starts with a dot and ends in digits is not read: it looks like an unfinished upload.
"""
