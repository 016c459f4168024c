{% include "bigquery/create/datasets.sql" %}

CREATE TABLE IF NOT EXISTS trips.{{ dataset.name }} (
    {%- for column in dataset.columns %}
    `{{ column.name }}` {{ bigquery_type(column) }} OPTIONS (description = '{{ column.description }}')
    {{- "," if not loop.last }}
    {%- endfor %}
)
PARTITION BY DATE_TRUNC(source_month, MONTH)
CLUSTER BY `{{ dataset.pickup_column }}`, `{{ dataset.pickup_zone_column }}`
OPTIONS (description = '{{ dataset.title }}');

-- A table that an earlier version of the registry made gains the columns that it lacks, behind those that it has. The
-- order does not matter: a job that writes into a table or a partition binds columns by name.
ALTER TABLE trips.{{ dataset.name }}
{%- for column in dataset.columns %}
ADD COLUMN IF NOT EXISTS `{{ column.name }}` {{ bigquery_type(column) }}
OPTIONS (description = '{{ column.description }}'){{ "," if not loop.last else ";" }}
{%- endfor %}
