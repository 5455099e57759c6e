{%- macro last_day_to_process() -%}
    {%- set reference_date = ref_date() -%}
    {%- if var('process_through') is none -%}
        {{ return(reference_date) }}
    {%- endif -%}
    {%- set last_day = date_var('process_through') -%}
    {%- if last_day < reference_date or last_day.replace(day=1) != reference_date.replace(day=1) -%}
        {{ exceptions.raise_compiler_error(
            "var process_through must lie in the month of source_dt, on or after it: source_dt is "
            ~ reference_date ~ ", process_through is " ~ last_day) }}
    {%- endif -%}
    {{ return(last_day) }}
{%- endmacro -%}
