-- A row here means a step with two names, two positions, or both stages and activity types, a name
-- of two steps, or a stage or type that is listed twice. Correct seeds/funnel_steps.csv: distinct
-- deals cannot be added over such a mixture.
with

funnel_steps as (

    select * from {{ ref('funnel_steps') }}

)

select funnel_step as ambiguous
from funnel_steps
group by funnel_step
having
    count(distinct kpi_name) > 1
    or count(distinct step_order) > 1
    or count(distinct source_type) > 1
union all
select kpi_name
from funnel_steps
group by kpi_name
having count(distinct funnel_step) > 1
union all
select max(source_name)
from funnel_steps
group by source_type, lower(trim(source_name)), coalesce(lower(trim(pipeline)), '')
having count(*) > 1
