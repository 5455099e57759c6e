-- A row here means that the stages of nearly all moves are described by no table: the report would
-- show a funnel of zeros. Load stages and fields of the same account, and see whether the ids of
-- the moves are those that stages holds. The vars min_known_ratio and min_volume say what is
-- judged.
select
    count(*) as event_count,
    count(*) filter (where kpi_name <> 'Unknown') as known_count,
    min(new_value) as an_unknown_value
from {{ ref('deal_staging') }}
where
    field = 'stage_id'
    and kpi_name is not null
    and {{ in_test_scope('change_time') }}
having
    count(*) >= {{ checked_var('min_volume') }}
    and count(*) filter (where kpi_name <> 'Unknown')
    < {{ checked_var('min_known_ratio') }} * count(*)
