-- A row here means a daily table without any day: it was emptied, or never filled, and all that is
-- made of it is empty as well. Count its months again: `funnel rebuild --from FIRST_DAY`.
select 'daily_activity_stats' as empty_table
where not exists (select 1 from {{ ref('daily_activity_stats') }})
union all
select 'daily_deal_stats' as empty_table
where not exists (select 1 from {{ ref('daily_deal_stats') }})
