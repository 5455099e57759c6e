{%- macro run_date() -%}
    {{ return(run_started_at.astimezone(modules.pytz.timezone(checked_var('timezone'))).date()) }}
{%- endmacro -%}
