{%- macro runs_table() -%}
    {{ return(api.Relation.create(
        database=target.database,
        schema=generate_schema_name('pipedrive_meta', none),
        identifier='runs')) }}
{%- endmacro -%}
