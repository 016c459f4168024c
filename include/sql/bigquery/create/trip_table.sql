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
