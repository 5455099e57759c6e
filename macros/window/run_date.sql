{%- macro run_date() -%}
    {{ return(run_started_at.astimezone(modules.pytz.timezone(reporting_timezone())).date()) }}
{%- endmacro -%}
