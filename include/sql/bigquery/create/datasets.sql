-- Safe to repeat. Staging tables are dropped by their run; the expiration catches those of a run that was killed.
CREATE SCHEMA IF NOT EXISTS trips
OPTIONS (description = 'NYC TLC trip records, one partition for each published month');

CREATE SCHEMA IF NOT EXISTS trips_staging
OPTIONS (description = 'Loads that are not published yet', default_table_expiration_days = 1);
