with

closed_deals as (

    select
        status,
        {{ local_month('coalesce(won_at, lost_at)') }} as month
    from {{ ref('deal_states') }}
    where status <> 'open'

),

rates as (

    select
        month,
        cast(round(1.0 * count(*) filter (where status = 'won') / count(*), 4) as numeric(18, 4))
            as win_rate,
        count(*) filter (where status = 'won') as won_deals_count,
        count(*) filter (where status = 'lost') as lost_deals_count
    from closed_deals
    group by month

)

select
    month,
    won_deals_count,
    lost_deals_count,
    win_rate
from rates
