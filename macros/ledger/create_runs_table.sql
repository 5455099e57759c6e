{%- macro create_runs_table() -%}
    {%- set runs = runs_table() -%}
    {#- Looked up first: `create … if not exists` asks for a permission even where it does nothing. -#}
    {%- if not adapter.check_schema_exists(runs.database, runs.schema) -%}
        create schema if not exists {{ adapter.quote(runs.schema) }};
    {%- endif -%}
    {%- set existing = adapter.get_relation(runs.database, runs.schema, runs.identifier) %}
    {%- if not existing %}
        create table if not exists {{ runs }} (
            run_id text primary key,
            command text not null,
            version text not null,
            source_dt date not null,
            months text[] not null,
            definition text not null,
            started_at timestamptz not null default clock_timestamp(),
            finished_at timestamptz,
            outcome text not null default 'running',
            is_complete boolean not null default false,
            as_of date,
            has_insight boolean not null default false,
            models integer,
            tests integer,
            rows_written bigint,
            seen_until timestamptz,
            recent_rows jsonb
        );
    {%- elif 'as_of' not in adapter.get_columns_in_relation(existing) | map(attribute='name') %}
        alter table {{ runs }}
        add column if not exists as_of date,
        add column if not exists has_insight boolean not null default false;
    {%- endif -%}
{%- endmacro -%}
