{% include "bigquery/create/datasets.sql" %}

CREATE TABLE IF NOT EXISTS trips.{{ dataset.name }} (
    {%- for column in bigquery_columns(dataset) %}
    `{{ column.name }}` {{ bigquery_type(column) }} OPTIONS (description = {{ bigquery_text(column.description) }})
    {{- "," if not loop.last }}
    {%- endfor %}
)
PARTITION BY DATE_TRUNC(source_month, MONTH)
CLUSTER BY `{{ dataset.pickup_column }}`, `{{ dataset.pickup_zone_column }}`
OPTIONS (description = {{ bigquery_text(dataset.title) }});

{% include "bigquery/create/columns.sql" %}
