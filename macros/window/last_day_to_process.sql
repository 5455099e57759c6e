{%- macro last_day_to_process() -%}
    {%- set reference_date = ref_date() -%}
    {%- set last_day = checked_var('process_through') or reference_date -%}
    {%- if last_day < reference_date or last_day.replace(day=1) != reference_date.replace(day=1) -%}
        {{ exceptions.raise_compiler_error(
            "var process_through must be in the month of source_dt, on or after it: source_dt is "
            ~ reference_date ~ ", process_through is " ~ last_day) }}
    {%- endif -%}
    {{ return(last_day) }}
{%- endmacro -%}
