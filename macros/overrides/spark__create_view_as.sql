{#- Spark drops a view to replace it, and a reader may miss it meanwhile; it alters one in one step. -#}
{%- macro spark__create_view_as(relation, sql) -%}
    {%- set existing = load_cached_relation(relation) -%}
    {{ 'alter' if existing and existing.is_view else 'create or replace' }} view {{ relation }}
    {{ get_assert_columns_equivalent(sql) if config.get('contract').enforced }}
    as {{ sql }}
{%- endmacro -%}
