{% include "postgres/create/schema.sql" %}

CREATE TABLE IF NOT EXISTS public.{{ dataset.table }} (
    {%- for column in dataset.columns %}
    "{{ column.name }}" {{ postgres_type(column) }}{{ "," if not loop.last }}
    {%- endfor %}
);

{% include "postgres/create/columns.sql" %}
