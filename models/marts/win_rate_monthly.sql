with

deals as (

    select
        status as outcome,
        {{ local_date('coalesce(won_at, lost_at)', 'month') }} as month
    from {{ ref('deal_states') }}
    where status in ('won', 'lost')
    union all
    select
        'lost after won' as outcome,
        {{ local_date('lost_after_won_at', 'month') }} as month
    from {{ ref('deal_states') }}
    where lost_after_won_at is not null

),

counts as (

    select
        month,
        count(case when outcome = 'won' then 1 end) as won_deals_count,
        count(case when outcome = 'lost' then 1 end) as lost_deals_count,
        count(case when outcome = 'lost after won' then 1 end) as lost_after_won_deals_count
    from deals
    group by month

)

select
    month,
    won_deals_count,
    lost_deals_count,
    lost_after_won_deals_count,
    cast(
        round(1.0 * won_deals_count / nullif(won_deals_count + lost_deals_count, 0), 4)
        as numeric(18, 4)
    ) as win_rate
from counts
