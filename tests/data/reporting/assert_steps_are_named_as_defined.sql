-- A row here means a step that seeds/funnel_steps.csv does not know by this number, name and
-- position. Build monthly_stats again: `funnel run --select monthly_stats`.
select distinct
    monthly_stats.funnel_step,
    monthly_stats.kpi_name,
    monthly_stats.step_order
from {{ ref('monthly_stats') }} as monthly_stats
left join {{ ref('funnel_steps') }} as funnel_steps
    on
        monthly_stats.funnel_step = funnel_steps.funnel_step
        and monthly_stats.kpi_name = funnel_steps.kpi_name
        and monthly_stats.step_order = funnel_steps.step_order
where funnel_steps.funnel_step is null
