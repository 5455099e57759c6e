{#- A load time without a zone is taken in that of the session. What an extract has read whole is fresh,
    although a quiet night adds no row. -#}
{%- macro postgres__collect_freshness(source, loaded_at_field, filter) -%}
    {%- do run_query("set timezone = '" ~ (checked_var('loaded_at_timezone') or 'UTC') ~ "'") -%}
    {%- set landing = adapter.quote(generate_schema_name('pipedrive_landing', none)) -%}
    {%- set is_extracted = run_query(
        "select case when has_schema_privilege(to_regnamespace('" ~ landing ~ "'), 'usage')"
        ~ " then has_table_privilege(to_regclass('" ~ landing ~ ".extracts'), 'select') end"
    ).columns[0].values()[0] -%}
    {%- set looked_at = 'complete_until' if source.identifier == 'deal_changes' else 'started_at' -%}
    {%- set extracted -%}
        (
            select max({{ looked_at }}) from {{ landing }}.extracts
            where raw_schema = '{{ source.schema }}'
        )
    {%- endset -%}
    {%- set newest -%}
        select greatest(
            max(cast({{ loaded_at_field }} as timestamp with time zone)),
            {{ extracted if is_extracted else 'null' }}
        )
        from {{ source }}
        {{ 'where ' ~ filter if filter }}
    {%- endset -%}
    {{ return(dbt.default__collect_freshness_custom_sql(source, newest)) }}
{%- endmacro -%}
