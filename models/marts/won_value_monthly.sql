with

won_deals as (

    select
        currency,
        value,
        {{ local_date('won_at', 'month') }} as month
    from {{ ref('deals') }}
    where status = 'won'

),

totals as (

    select
        month,
        currency,
        count(*) as won_deals_count,
        count(value) as valued_deals_count,
        sum(value) as won_value,
        round(avg(value), 2) as average_value
    from won_deals
    group by month, currency

)

select
    month,
    currency,
    won_deals_count,
    valued_deals_count,
    cast(won_value as numeric(18, 2)) as won_value,
    cast(average_value as numeric(18, 2)) as average_value
from totals
