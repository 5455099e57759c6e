{%- macro generate_schema_name(custom_schema_name, node) -%}
    {%- if target.name in ('prod', 'local') -%}
        {{ return((custom_schema_name or target.schema) | trim) }}
    {%- endif -%}
    {%- set schema = [target.schema, custom_schema_name] | select | map('trim') | join('_') -%}
    {%- if not target.schema or schema.startswith('pipedrive_') -%}
        {{ exceptions.raise_compiler_error(
            "target " ~ target.name ~ " would write to the production schema " ~ schema
            ~ ". Set FUNNEL_DEV_SCHEMA to a schema of your own, such as test.") }}
    {%- endif -%}
    {{ return(schema) }}
{%- endmacro -%}
