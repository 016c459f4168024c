{% include "postgres/load/columns.sql" %}
