-- A row here means a month that lacks a step of the funnel, or has one too many. Build
-- monthly_stats again: `funnel run --select monthly_stats`.
select
    month,
    count(*) as step_count
from {{ ref('monthly_stats') }}
group by month
having count(*) <> (
    select count(distinct steps.funnel_step)
    from {{ ref('funnel_steps') }} as steps
)
