{#- Of a contract, whose types are those of Postgres. -#}
{%- macro spark__cast(field, type) -%}
    cast({{ field }} as {{ 'string' if type == 'text' else type }})
{%- endmacro -%}
