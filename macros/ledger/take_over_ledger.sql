{%- macro take_over_ledger(meta) -%}
if to_regclass('{{ meta }}.runs') is not null then
    alter table {{ meta }}.runs add column if not exists as_of date,
        add column if not exists has_insight boolean not null default false;
    insert into {{ meta }}.run_events
        (run_id, event, happened_at, command, version, source_dt, as_of, months, definition)
    select
        run_id, 'started', started_at, command, version, source_dt, as_of,
        array_to_string(months, ' '), definition
    from {{ meta }}.runs;
    insert into {{ meta }}.run_events
        (run_id, event, happened_at, outcome, is_complete, has_marts, models, tests, rows_written)
    select
        run_id, 'ended', coalesce(finished_at, started_at), outcome, is_complete, has_insight,
        models, tests, rows_written
    from {{ meta }}.runs where outcome <> 'running';
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
