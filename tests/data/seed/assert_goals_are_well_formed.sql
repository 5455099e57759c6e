-- A row here means a goal that the report leaves out or reads otherwise than meant: correct its
-- line in seeds/goals.csv. A month is its first day; a measure is a step of the funnel or win_rate,
-- once a month; a target is above 0, and of win_rate at most 1. An empty target ends the goal.
{{ config(severity='warn') }}

with

goals as (

    select
        month,
        target,
        trim(measure) as measure,
        count(*) over (partition by month, trim(measure)) as goals_count
    from {{ ref('goals') }}

),

measures as (

    select funnel_step as measure from {{ ref('funnel_steps') }}
    union
    select 'win_rate' as measure

)

select
    goals.month,
    goals.measure,
    goals.target,
    goals.goals_count
from goals
left join measures
    on goals.measure = measures.measure
where
    goals.month is null
    or goals.month <> {{ dbt.date_trunc('month', 'goals.month') }}
    or measures.measure is null
    or goals.target <= 0
    or goals.measure = 'win_rate' and goals.target > 1
    or goals.goals_count > 1
