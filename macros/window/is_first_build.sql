{%- macro is_first_build() -%}
    {%- set built = [] -%}
    {%- for name in ('daily_activity_stats', 'daily_deal_stats') -%}
        {%- set model = graph.nodes['model.funnel.' ~ name] -%}
        {%- do built.append(adapter.get_relation(model.database, model.schema, name)) -%}
    {%- endfor -%}
    {{ return(not built | select | list) }}
{%- endmacro -%}
