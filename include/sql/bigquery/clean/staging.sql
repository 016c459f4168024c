-- Drops the staging tables of this run, one for each try of the load. A table that a load job creates after this
-- statement is dropped by a later run, or expires by the default of its dataset.
{%- for number in range(1, loaded_object().tries + 1) %}
DROP TABLE IF EXISTS trips_staging.{{ staging_table() }}_{{ number }};
{%- endfor %}
