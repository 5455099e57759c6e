{#- The latest moment up to now, if it is longer ago than the interval. Now is the time in the zone
    of the var dbt_date:time_zone. -#}
{% test expect_row_values_to_have_recent_data(
    model, column_name, datepart, interval, row_condition=none
) %}

{%- set zone = modules.pytz.timezone(var('dbt_date:time_zone')) %}
{%- set moment = modules.datetime.datetime.now(zone).replace(tzinfo=none) %}
{%- set now = "cast('" ~ moment ~ "' as timestamp)" %}
select max_timestamp
from (
    select max(cast({{ column_name }} as timestamp)) as max_timestamp
    from {{ model }}
    where
        cast({{ column_name }} as timestamp) <= {{ now }}
        and {{ row_condition or 'true' }}
) as latest
where
    coalesce(max_timestamp, timestamp '1970-01-01')
    < {{ dbt.dateadd(datepart, -interval, now) }}

{% endtest %}
