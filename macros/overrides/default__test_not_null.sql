{#- dbt's own selects the column that is null, or would store the names and addresses of users. -#}
{%- macro default__test_not_null(model, column_name) -%}
    select {{ column_name if '"users"' in model | string else '*' }}
    from {{ model }}
    where {{ column_name }} is null
{%- endmacro -%}
