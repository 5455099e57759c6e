-- A row here means events of the last months whose type, stage or reason no table describes: they
-- are counted as Unknown. Load activity_types, stages or fields again, or ask who made the value.
{{ config(severity='warn') }}

select
    'type' as field,
    activity_type as field_value,
    count(*) as event_count
from {{ ref('activity_staging') }}
where
    kpi_name = 'Unknown'
    and {{ in_test_scope('due_to') }}
group by activity_type
union all
select
    field,
    new_value as field_value,
    count(*) as event_count
from {{ ref('deal_staging') }}
where
    kpi_name = 'Unknown'
    and {{ in_test_scope('change_time') }}
group by field, new_value
