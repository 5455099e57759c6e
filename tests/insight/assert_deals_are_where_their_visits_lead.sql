-- A row here means a deal whose state and visits tell different stories: another current stage,
-- another first entry of a step, or an end that is not that of its last attempt. Compute the deals
-- again: `dbt build --full-refresh --select changed_deals+`.
with

visits as (

    select
        *,
        row_number() over (partition by deal_id order by visit_number desc) = 1 as is_last
    from {{ ref('deal_stage_visits') }}
    where {{ is_tested_deal() }}

),

states as (

    select * from {{ ref('deal_states') }}
    where {{ is_tested_deal() }}

),

first_visits as (

    select
        deal_id,
        funnel_step,
        min(entered_at) as entered_at
    from visits
    where funnel_step is not null
    group by deal_id, funnel_step

)

select
    states.deal_id,
    'is elsewhere' as difference
from states
inner join visits
    on states.deal_id = visits.deal_id and visits.is_last
where
    states.current_kpi_name <> visits.kpi_name
    or (
        states.status = 'open' and visits.direction = 'lost' and states.current_kpi_name is not null
    )
    or (states.status = 'lost' and visits.direction <> 'lost')
union all
select
    states.deal_id,
    'entered step ' || first_visits.funnel_step || ' at another time' as difference
from states
inner join first_visits
    on states.deal_id = first_visits.deal_id
where
    cast(states.first_entered_at ->> first_visits.funnel_step as timestamp)
    is distinct from first_visits.entered_at
