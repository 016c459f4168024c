-- Adds the columns that a table created by an earlier version of the registry lacks; they come last. The order does not
-- matter, because a job that writes into a table or a partition binds columns by name.
ALTER TABLE trips.{{ dataset.name }}
{%- for column in bigquery_columns(dataset) %}
ADD COLUMN IF NOT EXISTS `{{ column.name }}` {{ bigquery_type(column) }}
OPTIONS (description = {{ bigquery_text(column.description) }}){{ "," if not loop.last else ";" }}
{%- endfor %}
