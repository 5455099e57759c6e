{%- macro create_ledger(meta) -%}
do $ledger$
begin
    -- Two first runs may come here at once.
    perform pg_advisory_xact_lock(hashtextextended('funnel ledger', 0));
    -- `if not exists` asks for a permission even where it does nothing.
    if to_regnamespace('{{ meta }}') is null then
        create schema {{ meta }};
    end if;
    if to_regclass('{{ meta }}.run_events') is null then
        create table {{ meta }}.run_events (
            run_id text not null, event text not null, happened_at timestamptz not null,
            -- started
            command text, version text, source_dt date, as_of date, months text, definition text,
            -- ended
            outcome text, is_complete boolean, has_marts boolean,
            models integer, tests integer, rows_written bigint,
            -- watermark; of verified: months and outcome
            seen_until timestamptz, recent_rows text,
            -- backfill_started, batch_ended, backfill_ended
            first_day date, last_day date, batch text, next_day date
        );
        {{ take_over_ledger(meta) }}
    end if;
    if not exists (
        select from pg_catalog.pg_attribute
        where attrelid = to_regclass('{{ meta }}.run_events') and attname = 'warnings'
    ) then
        alter table {{ meta }}.run_events add column warnings text;
        {{ create_runs(meta) }}
    end if;
end $ledger$;
{%- endmacro -%}
