-- Idempotent. Each run drops its own staging tables, and those of ended runs; the expiration removes what is left after
-- the last run.
CREATE SCHEMA IF NOT EXISTS trips
OPTIONS (description = 'NYC TLC trip records, one partition for each published month');

CREATE SCHEMA IF NOT EXISTS trips_staging
OPTIONS (description = 'Staging tables of loads that are not yet published', default_table_expiration_days = 1);
