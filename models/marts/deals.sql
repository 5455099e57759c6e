with

currency_changes as (

    select
        deal_id,
        change_time,
        upper(trim(new_value)) as currency
    from {{ ref('deal_staging') }}
    where
        field = 'currency'
        and deal_id is not null
        and {{ is_known('change_time') }}

),

last_currency_changes as (

    select
        deal_id,
        max(change_time) as change_time
    from currency_changes
    group by deal_id

),

-- One row per deal by its grouping: who does not ask for the currency does not wait for it.
currencies as (

    select
        changes.deal_id,
        max(case when {{ matches('changes.currency', '[A-Z]{3}') }} then changes.currency end)
            as currency
    from currency_changes as changes
    inner join last_currency_changes as last_changes
        on
            changes.deal_id = last_changes.deal_id
            and changes.change_time = last_changes.change_time
    group by changes.deal_id

),

deals as (

    select
        deal_states.*,
        currencies.currency,
        {{ local_date('deal_states.created_at') }} as created_day,
        {{ local_date('deal_states.last_moved_at') }} as moved_day,
        {{ local_date(
            'coalesce(deal_states.won_at, deal_states.lost_at, deal_states.deleted_at)'
        ) }} as closed_day,
        cast('{{ as_of_date() }}' as date) as today
    from {{ ref('deal_states') }} as deal_states
    left join currencies
        on deal_states.deal_id = currencies.deal_id

)

select
    deal_id,
    created_at,
    owner_id,
    status,
    current_kpi_name,
    current_funnel_step,
    current_step_order,
    current_step_entered_at,
    furthest_kpi_name,
    furthest_funnel_step,
    furthest_step_order,
    lost_at,
    lost_reason,
    won_at,
    lost_after_won_at,
    deleted_at,
    value,
    currency,
    lives_count,
    loss_count,
    last_moved_at,
    {{ dbt.datediff('created_day', 'coalesce(closed_day, today)', 'day') }}
        as age_days,
    {{ dbt.datediff('moved_day', 'today', 'day') }}
        as days_since_last_movement
from deals
