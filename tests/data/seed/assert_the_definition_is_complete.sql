-- A row here means a line of seeds/funnel_steps.csv that lacks a value, or whose source_type is
-- neither stage nor activity: nothing is counted for it. Complete the line.
select
    source_type,
    source_name,
    funnel_step,
    kpi_name,
    step_order
from {{ ref('funnel_steps') }}
where
    coalesce(source_type not in ('stage', 'activity'), true)
    or source_name is null
    or funnel_step is null
    or kpi_name is null
    or step_order is null
