{% include "bigquery/create/datasets.sql" %}

CREATE TABLE IF NOT EXISTS trips.{{ dataset.name }} (
    {%- for column in bigquery_columns(dataset) %}
    `{{ column.name }}` {{ bigquery_type(column) }} OPTIONS (description = {{ bigquery_text(column.description) }})
    {{- "," if not loop.last }}
    {%- endfor %}
)
OPTIONS (description = {{ bigquery_text(dataset.title) }});

{% include "bigquery/create/columns.sql" %}
