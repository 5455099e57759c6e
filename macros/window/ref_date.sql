{%- macro ref_date(of_run=false) -%}
    {%- set zone = modules.pytz.timezone(checked_var('timezone')) -%}
    {%- set source_dt = none if of_run else checked_var('source_dt') -%}
    {{ return(source_dt or run_started_at.astimezone(zone).date()) }}
{%- endmacro -%}
