{%- macro day_start(day) -%}
    {%- set zone = modules.pytz.timezone(checked_var('timezone')) -%}
    {%- set midnight = modules.datetime.datetime(day.year, day.month, day.day) -%}
    {#- Midnight can come twice (the first one counts) or not at all, where clocks change at night. -#}
    {%- set twice = zone.normalize(zone.localize(midnight, is_dst=true)) -%}
    {%- set once = zone.normalize(zone.localize(midnight, is_dst=false)) -%}
    {%- set first_moment = twice if twice.date() == day else once -%}
    cast('{{ first_moment.astimezone(modules.pytz.utc).strftime("%Y-%m-%d %H:%M:%S") }}' as timestamp)
{%- endmacro -%}
