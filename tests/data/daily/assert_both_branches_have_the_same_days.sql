-- A row here means a day that only one of the two daily tables has, so that its month would lack
-- the steps of the other. Process its month again: `funnel backfill --from DATE --to DATE`.
with

activity_days as (

    select distinct date from {{ ref('daily_activity_stats') }}

),

deal_days as (

    select distinct date from {{ ref('daily_deal_stats') }}

)

select
    coalesce(activity_days.date, deal_days.date) as date,
    case when activity_days.date is null then 'daily_activity_stats' else 'daily_deal_stats' end
        as missing_in
from activity_days
full outer join deal_days
    on activity_days.date = deal_days.date
where activity_days.date is null or deal_days.date is null
