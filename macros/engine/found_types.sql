{%- macro found_types(table) -%}
    {{ return(dict(adapter.dispatch('found_types')(table))) }}
{%- endmacro -%}

{#- From the catalogue: the adapter sees only the columns that this role may read. -#}
{%- macro postgres__found_types(table) -%}
    {%- set found = run_query(
        "select attname, format_type(atttypid, null) from pg_catalog.pg_attribute"
        ~ " where attrelid = to_regclass('" ~ table ~ "') and attnum > 0 and not attisdropped"
    ).columns -%}
    {{ return(zip(found[0].values(), found[1].values())) }}
{%- endmacro -%}

{%- macro spark__found_types(table) -%}
    {%- set types = [] -%}
    {%- for column in adapter.get_columns_in_relation(table) -%}
        {%- do types.append((column.name | lower, column.dtype | lower)) -%}
    {%- endfor -%}
    {{ return(types) }}
{%- endmacro -%}
