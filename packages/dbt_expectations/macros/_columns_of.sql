{#- The columns of a relation, none when the project is parsed; a relation that is not there is an
    error. -#}
{% macro _columns_of(model) %}
    {%- if not execute %}
        {{ return([]) }}
    {%- endif %}
    {%- set columns = adapter.get_columns_in_relation(model) %}
    {%- if not columns %}
        {{ exceptions.raise_compiler_error(model ~ " is not there or has no column.") }}
    {%- endif %}
    {{ return(columns) }}
{% endmacro %}
