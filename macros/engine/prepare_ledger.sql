{%- macro prepare_ledger(meta) -%}
    {{ adapter.dispatch('prepare_ledger')(meta) }}
{%- endmacro -%}

{%- macro postgres__prepare_ledger(meta) -%}
    {%- do run_query(create_ledger(meta)) -%}
{%- endmacro -%}

{%- macro spark__prepare_ledger(meta) -%}
    {%- do run_query("create schema if not exists " ~ meta) -%}
    {%- do run_query("create table if not exists " ~ meta ~ ".run_events (run_id string,"
        ~ " event string, happened_at timestamp, command string, version string,"
        ~ " source_dt date, as_of date, months string, definition string, outcome string,"
        ~ " is_complete boolean, has_marts boolean, models int, tests int, rows_written bigint,"
        ~ " warnings string, seen_until timestamp, recent_rows string, first_day date,"
        ~ " last_day date, batch string, next_day date) using parquet") -%}
    {%- do run_query("create or replace view " ~ meta ~ ".runs as " ~ ledger_runs(meta)) -%}
{%- endmacro -%}
