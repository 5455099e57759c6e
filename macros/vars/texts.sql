{%- macro texts(values) -%}
    (
        {%- for value in values -%}
            '{{ dbt.escape_single_quotes(value | string | trim | lower) }}'{{ ', ' if not loop.last }}
        {%- endfor -%}
    )
{%- endmacro -%}
