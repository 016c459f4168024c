{% include "bigquery/create/datasets.sql" %}

CREATE TABLE IF NOT EXISTS trips.{{ dataset.name }} (
    {%- for column in dataset.columns %}
    `{{ column.name }}` {{ bigquery_type(column) }} OPTIONS (description = '{{ column.description }}')
    {{- "," if not loop.last }}
    {%- endfor %}
)
OPTIONS (description = '{{ dataset.title }}');
