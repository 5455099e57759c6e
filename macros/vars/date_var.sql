{%- macro date_var(name) -%}
    {%- set text = var(name) | string -%}
    {%- set parts = modules.re.match('^([0-9]{4})-([0-9]{2})-([0-9]{2})$', text) -%}
    {%- set year, month, day = parts.groups() | map('int') if parts else (0, 0, 0) -%}
    {%- set days_in_month = 0 -%}
    {%- if 1970 <= year <= 9000 and 1 <= month <= 12 -%}
        {%- set next_month = modules.datetime.date(year, month, 28) + modules.datetime.timedelta(4) -%}
        {%- set days_in_month = (next_month - modules.datetime.timedelta(next_month.day)).day -%}
    {%- endif -%}
    {%- if not 1 <= day <= days_in_month -%}
        {{ exceptions.raise_compiler_error(
            "var " ~ name ~ " is not a date: " ~ text | tojson ~ ". Write it as YYYY-MM-DD.") }}
    {%- endif -%}
    {{ return(modules.datetime.date(year, month, day)) }}
{%- endmacro -%}
