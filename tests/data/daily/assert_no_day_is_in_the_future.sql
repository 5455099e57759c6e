-- A row here means a day after both the day of this run and its reference date: events that have
-- not happened were counted. Process the month again with the right `source_dt`.
{%- set today = [ref_date(of_run=true), last_day_to_process()] | max %}

select date
from {{ ref('daily_activity_stats') }}
where date > cast('{{ today }}' as date)
union all
select date
from {{ ref('daily_deal_stats') }}
where date > cast('{{ today }}' as date)
