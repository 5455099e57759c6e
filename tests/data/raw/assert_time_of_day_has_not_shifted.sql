-- A row here means events whose usual time of day has moved by hours against the 28 days before, as
-- it does when a loader changes its time zone: near midnight they count on the wrong day.
-- Timestamps have to be UTC; see what changed in the loader. The var max_hour_shift says how far is
-- too far.
{{ config(severity='warn') }}
{%- set last_day = last_day_to_process() %}
{%- set begin = last_day - modules.datetime.timedelta(days=27) %}
{%- set before = last_day - modules.datetime.timedelta(days=55) %}
{%- set until = last_day + modules.datetime.timedelta(days=1) %}

with

-- A time of day is a point on a circle; the mean of such points lies near the usual time, and near
-- the middle where there is none.
moments as (

    select
        'activity' as source_table,
        due_to >= {{ day_start(begin) }} as is_recent,
        {{ seconds_between(dbt.date_trunc('day', 'due_to'), 'due_to') }}
        / 86400 * 2 * pi() as angle
    from {{ source('pipedrive_raw', 'activity') }}
    where
        due_to >= {{ day_start(before) }}
        and due_to < {{ day_start(until) }}
    union all
    select
        'deal_changes' as source_table,
        change_time >= {{ day_start(begin) }} as is_recent,
        {{ seconds_between(dbt.date_trunc('day', 'change_time'), 'change_time') }}
        / 86400 * 2 * pi() as angle
    from {{ source('pipedrive_raw', 'deal_changes') }}
    where
        change_time >= {{ day_start(before) }}
        and change_time < {{ day_start(until) }}

),

usual_times as (

    select
        source_table,
        is_recent,
        mod(cast(atan2(avg(sin(angle)), avg(cos(angle))) / pi() * 12 + 24 as numeric), 24)
            as usual_hour
    from moments
    group by source_table, is_recent
    having
        count(*) >= 100
        and sqrt(power(avg(sin(angle)), 2) + power(avg(cos(angle)), 2)) > 0.3

)

select
    recent.source_table,
    round(earlier.usual_hour, 1) as usual_hour_before,
    round(recent.usual_hour, 1) as usual_hour
from usual_times as recent
inner join usual_times as earlier
    on recent.source_table = earlier.source_table
where
    recent.is_recent
    and not earlier.is_recent
    and least(
        abs(recent.usual_hour - earlier.usual_hour),
        24 - abs(recent.usual_hour - earlier.usual_hour)
    ) > {{ checked_var('max_hour_shift') }}
