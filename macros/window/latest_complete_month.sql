{%- macro latest_complete_month() -%}
    {%- set day_after = last_day_to_process() + modules.datetime.timedelta(days=1) -%}
    {%- set last_day = day_after.replace(day=1) - modules.datetime.timedelta(days=1) -%}
    {{ return(last_day.replace(day=1)) }}
{%- endmacro -%}
