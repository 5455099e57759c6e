{%- macro create_ledger(meta) -%}
    {%- set runs -%}
select
    started.run_id, started.command, started.version, started.source_dt, started.as_of,
    started.months, started.definition, started.happened_at as started_at, ended.warnings,
    case when ended.outcome <> 'crashed' then ended.happened_at end as finished_at,
    coalesce(ended.outcome, 'running') as outcome,
    coalesce(ended.is_complete, false) as is_complete,
    coalesce(ended.has_marts, false) as has_marts, ended.models, ended.tests, ended.rows_written
from {{ meta }}.run_events as started
left join (
    select *, row_number() over (partition by run_id order by happened_at desc) as place
    from {{ meta }}.run_events where event = 'ended'
) as ended on started.run_id = ended.run_id and ended.place = 1
where started.event = 'started'
    {%- endset -%}
    {%- do adapter.dispatch('create_ledger')(meta, runs) -%}
{%- endmacro -%}

{%- macro postgres__create_ledger(meta, runs) -%}
    {%- set statement -%}
do $ledger$
begin
    -- Two first runs may come here at once.
    perform pg_advisory_xact_lock(hashtextextended('funnel ledger', 0));
    -- `if not exists` asks for a permission even where it does nothing.
    if to_regnamespace('{{ meta }}') is null then
        create schema {{ meta }};
    end if;
    if to_regclass('{{ meta }}.run_lock') is null then create table {{ meta }}.run_lock (); end if;
    if to_regclass('{{ meta }}.run_events') is null then
        create table {{ meta }}.run_events (
            run_id text not null, event text not null, happened_at timestamptz not null,
            -- started
            command text, version text, source_dt date, as_of date, months text, definition text,
            -- ended; verified has months and outcome; removed months, rows_written, first_day
            outcome text, is_complete boolean, has_marts boolean,
            models integer, tests integer, rows_written bigint, warnings text,
            -- watermark; then backfill_started, batch_ended, backfill_ended
            seen_until timestamptz, recent_rows text,
            first_day date, last_day date, batch text, next_day date
        );
        {{ take_over_ledger(meta) }}
        create view {{ meta }}.runs as {{ runs }};
    end if;
end $ledger$;
    {%- endset -%}
    {%- do run_query(statement) -%}
{%- endmacro -%}

{%- macro take_over_ledger(meta) -%}
if to_regclass('{{ meta }}.runs') is not null then
    alter table {{ meta }}.runs add column if not exists as_of date,
        add column if not exists has_insight boolean not null default false;
    insert into {{ meta }}.run_events
        (run_id, event, happened_at, command, version, source_dt, as_of, months, definition)
    select
        run_id, 'started', started_at, command, version, source_dt, as_of,
        array_to_string(months, ' '), definition from {{ meta }}.runs;
    insert into {{ meta }}.run_events
        (run_id, event, happened_at, outcome, is_complete, has_marts, models, tests, rows_written)
    select
        run_id, 'ended', coalesce(finished_at, started_at), outcome, is_complete, has_insight,
        models, tests, rows_written from {{ meta }}.runs where outcome <> 'running';
    insert into {{ meta }}.run_events (run_id, event, happened_at, seen_until, recent_rows)
    select
        run_id, 'watermark', coalesce(finished_at, started_at), seen_until,
        (select string_agg(key || ' ' || value, ', ' order by key) from jsonb_each_text(recent_rows))
    from {{ meta }}.runs where seen_until is not null;
    drop table {{ meta }}.runs;
end if;
if to_regclass('{{ meta }}.verified_months') is not null then
    insert into {{ meta }}.run_events (run_id, event, happened_at, months, outcome)
    select '', 'verified', verified_at, month, case when is_drifted then 'drifted' else 'right' end
    from {{ meta }}.verified_months;
    drop table {{ meta }}.verified_months;
end if;
if to_regclass('{{ meta }}.backfills') is not null then
    insert into {{ meta }}.run_events
        (run_id, event, happened_at, command, first_day, last_day, batch, next_day)
    select cast(backfill_id as text), event, moment, command, first_day, last_day, batch, next_day
    from {{ meta }}.backfills cross join lateral (values
        ('backfill_started', started_at), ('batch_ended', started_at), ('backfill_ended', finished_at)
    ) as events (event, moment)
    where moment is not null;
    drop table {{ meta }}.backfills;
end if;
{%- endmacro -%}

{%- macro spark__create_ledger(meta, runs) -%}
    {%- do run_query("create schema if not exists " ~ meta) -%}
    {%- do run_query("create table if not exists " ~ meta ~ ".run_events (run_id string,"
        ~ " event string, happened_at timestamp, command string, version string,"
        ~ " source_dt date, as_of date, months string, definition string, outcome string,"
        ~ " is_complete boolean, has_marts boolean, models int, tests int, rows_written bigint,"
        ~ " warnings string, seen_until timestamp, recent_rows string, first_day date,"
        ~ " last_day date, batch string, next_day date) using parquet") -%}
    {%- do run_query("create view if not exists " ~ meta ~ ".runs as " ~ runs) -%}
    {%- do run_query("alter view " ~ meta ~ ".runs as " ~ runs) -%}
{%- endmacro -%}
