-- A row here means a goal that the report leaves out or reads otherwise than meant: correct its
-- line in seeds/goals.csv. A month is its first day; a measure is a step of the funnel or win_rate,
-- once a month; a target is above 0, and of win_rate at most 1. An empty target ends the goal.
{{ config(severity='warn') }}

with

goals as (

    select
        month,
        trim(measure) as measure,
        target
    from {{ ref('goals') }}

)

select
    month,
    measure,
    target,
    'no first day of a month' as reason
from goals
where coalesce(extract(day from month) <> 1, true)
union all
select
    month,
    measure,
    target,
    'no step of the funnel, nor win_rate' as reason
from goals
where
    coalesce(measure <> 'win_rate', true)
    and coalesce(measure not in (select funnel_step from {{ ref('funnel_steps') }}), true)
union all
select
    month,
    measure,
    target,
    'no target that can be reached' as reason
from goals
where
    target <= 0
    or measure = 'win_rate' and target > 1
union all
select
    month,
    measure,
    max(target) as target,
    'several goals of one month' as reason
from goals
group by month, measure
having count(*) > 1
