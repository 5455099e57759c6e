{%- macro ledger_runs(meta) -%}
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
{%- endmacro -%}
