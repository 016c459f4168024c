{#
    A query for the months that were loaded since this model was last built: those of which `relation` has rows from
    another object of the lake than the model has. The pipeline writes that object's generation into each row.
#}
{% macro changed_months(relation) %}
    select source_month
    from (
        select service_type, source_month, lake_generation from {{ relation }}
        except distinct
        select service_type, source_month, lake_generation from {{ this }}
    )
{% endmacro %}
