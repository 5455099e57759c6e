{%- macro generate_schema_name(custom_schema_name, node) -%}
    {%- if target.name in ('prod', 'local', 'spark', 'spark_cluster') -%}
        {{ return((custom_schema_name or target.schema) | trim) }}
    {%- endif -%}
    {%- set own = checked_name('FUNNEL_DEV_SCHEMA', target.schema) -%}
    {{ return([own, custom_schema_name] | select | map('trim') | join('_')) }}
{%- endmacro -%}
