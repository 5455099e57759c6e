{#- A load time without a zone is taken in that of the session. -#}
{%- macro postgres__collect_freshness(source, loaded_at_field, filter) -%}
    {%- set zone = checked_var('loaded_at_timezone') or 'UTC' -%}
    {%- do run_query("set timezone = '" ~ zone ~ "'") -%}
    {%- set loaded_at = 'cast(' ~ loaded_at_field ~ ' as timestamp with time zone)' -%}
    {{ return(dbt.default__collect_freshness(source, loaded_at, filter)) }}
{%- endmacro -%}
