{%- macro create_ledger(meta) -%}
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
        create view {{ meta }}.runs as {{ ledger_runs(meta) }};
    end if;
end $ledger$;
{%- endmacro -%}
