{# A hash of the columns' values, null apart from all texts. #}
{% macro row_hash(columns) -%}
    to_hex(md5(concat(
        {%- for column in columns %}
        coalesce(cast({{ column }} as string), 'null'){{ ", '|', " if not loop.last }}
        {%- endfor %}
    )))
{%- endmacro %}
