{% include "bigquery/create/datasets.sql" %}

CREATE TABLE IF NOT EXISTS trips.yearly_rollup (
    dataset STRING OPTIONS (description = 'Name of the trip table that was counted.'),
    month DATE OPTIONS (description = 'First day of the month whose file published the trips.'),
    `zone` INT64 OPTIONS (description = 'Taxi zone in which the trips began; null if unknown.'),
    trips INT64 OPTIONS (description = 'Number of trips.'),
    counted_at TIMESTAMP OPTIONS (description = 'When the trips of the dataset and the year were counted (UTC).')
)
PARTITION BY DATE_TRUNC(month, YEAR)
CLUSTER BY dataset, month, `zone`
OPTIONS (description = 'Trips per dataset, month and pickup zone, for each dataset that is complete for the year');

-- A table created by an earlier version lacks it.
ALTER TABLE trips.yearly_rollup
ADD COLUMN IF NOT EXISTS counted_at TIMESTAMP
OPTIONS (description = 'When the trips of the dataset and the year were counted (UTC).');
