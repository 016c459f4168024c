{% include "postgres/create/schema.sql" %}

CREATE TABLE IF NOT EXISTS public.{{ dataset.table }} (
    {%- for column in dataset.columns %}
    "{{ column.name }}" {{ postgres_type(column) }}
    {{- " NOT NULL" if column.name in ("source_month", "source_file") }}{{ "," if not loop.last }}
    {%- endfor %}
) PARTITION BY LIST (source_month);

{% include "postgres/create/columns.sql" %}
