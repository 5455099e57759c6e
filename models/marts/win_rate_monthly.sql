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
        count(*) as closed_deals_count,
        count(case when status = 'won' then 1 end) as won_deals_count,
        count(case when status = 'lost' then 1 end) as lost_deals_count
    from closed_deals
    group by month

)

select
    month,
    won_deals_count,
    lost_deals_count,
    cast(round(1.0 * won_deals_count / closed_deals_count, 4) as numeric(18, 4)) as win_rate
from rates
