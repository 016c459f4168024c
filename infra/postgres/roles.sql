-- The roles and databases of docker-compose.yaml: each role owns one database, and can connect to no other.
--
-- psql runs this when the volume is new. Run it again after a password in .env has changed:
--
--   docker compose up --detach postgres
--   docker compose exec postgres psql --username=postgres --file=/docker-entrypoint-initdb.d/roles.sql

\set ON_ERROR_STOP on
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv celery_password CELERY_DB_PASSWORD
\getenv ny_taxi_password NY_TAXI_PASSWORD

-- Airflow's metadata, the results of Celery's workers, and the warehouse.
CREATE TEMPORARY TABLE wanted (name) AS VALUES ('airflow'), ('celery'), ('ny_taxi');

SELECT format('CREATE ROLE %I LOGIN', name) FROM wanted WHERE name NOT IN (SELECT rolname FROM pg_roles) \gexec
ALTER ROLE airflow PASSWORD :'airflow_password';
ALTER ROLE celery PASSWORD :'celery_password';
ALTER ROLE ny_taxi PASSWORD :'ny_taxi_password';

SELECT format('CREATE DATABASE %I', name) FROM wanted WHERE name NOT IN (SELECT datname FROM pg_database) \gexec
SELECT format('ALTER DATABASE %I OWNER TO %I', name, name) FROM wanted \gexec
-- In a new database, every role may connect and make temporary tables.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', datname) FROM pg_database \gexec

-- A session that is idle within a transaction holds its locks; local/cloud/postgres.py has the same.
ALTER DATABASE ny_taxi SET idle_in_transaction_session_timeout = '5min';
