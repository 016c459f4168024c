-- A table that an earlier version of the registry made gains the columns that it lacks, behind those that it has. The
-- order does not matter: a job that writes into a table or a partition binds columns by name.
ALTER TABLE trips.{{ dataset.name }}
{%- for column in bigquery_columns(dataset) %}
ADD COLUMN IF NOT EXISTS `{{ column.name }}` {{ bigquery_type(column) }}
OPTIONS (description = {{ bigquery_text(column.description) }}){{ "," if not loop.last else ";" }}
{%- endfor %}
