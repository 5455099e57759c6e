{%- macro reporting_timezone() -%}
    {%- set name = var('timezone') | string -%}
    {%- if name not in modules.pytz.all_timezones_set -%}
        {{ exceptions.raise_compiler_error(
            "var timezone is not a time zone: " ~ name | tojson
            ~ ". Use a name of the tz database, such as Europe/Berlin.") }}
    {%- endif -%}
    {{ return(name) }}
{%- endmacro -%}
