-- A row here means that too few of the deals that reached a step in the latest complete month went
-- on to the next: sales had a bad month, or stages were mixed up. Ask the step's owner; the vars
-- step_pairs, min_step_ratio and min_step_deals say what is judged.
{{ config(severity='warn') }}
{%- set one_day = modules.datetime.timedelta(days=1) %}
{%- set latest_month = (last_day_to_process() + one_day).replace(day=1) - one_day %}
{%- set latest_month = latest_month.replace(day=1) %}

with

months as (

    select
        funnel_step,
        deals_count
    from {{ ref('monthly_activity_stats') }}
    where month = cast('{{ latest_month }}' as date)
    union all
    select
        funnel_step,
        deals_count
    from {{ ref('monthly_deal_stats') }}
    where month = cast('{{ latest_month }}' as date)

),

steps as (

    select
        funnel_step,
        sum(deals_count) as deals_count
    from months
    group by funnel_step

),

pairs (first_step, second_step, min_ratio) as (

    values
    ('no step', 'no step', 0)
    {%- for pair in checked_var('step_pairs') -%}
        {%- set steps = pair.split(' ') + [checked_var('min_step_ratio')] -%}
        , ('{{ steps[0] }}', '{{ steps[1] }}', {{ steps[2] }})
    {%- endfor %}

)

select
    cast('{{ latest_month }}' as date) as month,
    pairs.first_step,
    pairs.second_step,
    {{ step_owner('pairs.second_step') }} as owner,
    first_steps.deals_count as first_deals,
    coalesce(second_steps.deals_count, 0) as second_deals,
    pairs.min_ratio
from pairs
inner join steps as first_steps
    on pairs.first_step = first_steps.funnel_step
left join steps as second_steps
    on pairs.second_step = second_steps.funnel_step
where
    first_steps.deals_count >= {{ checked_var('min_step_deals') }}
    and coalesce(second_steps.deals_count, 0) < pairs.min_ratio * first_steps.deals_count
