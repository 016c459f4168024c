{% include "bigquery/create/datasets.sql" %}

CREATE TABLE IF NOT EXISTS trips.yearly_rollup (
    dataset STRING OPTIONS (description = 'Name of the trip table that was counted.'),
    month DATE OPTIONS (description = 'First day of the month whose file published the trips.'),
    `zone` INT64 OPTIONS (description = 'Taxi zone in which the trips began; null if unknown.'),
    trips INT64 OPTIONS (description = 'Number of trips.')
)
PARTITION BY DATE_TRUNC(month, YEAR)
CLUSTER BY dataset, month, `zone`
OPTIONS (description = 'Trips per dataset, month and pickup zone, for each dataset that is complete for the year');
