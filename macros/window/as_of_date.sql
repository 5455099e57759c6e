{%- macro as_of_date() -%}
    {%- set reference_date = ref_date() -%}
    {%- set as_of = checked_var('as_of') or reference_date -%}
    {%- if as_of < reference_date -%}
        {{ exceptions.raise_compiler_error(
            "var as_of must not be before source_dt: source_dt is " ~ reference_date
            ~ ", as_of is " ~ as_of) }}
    {%- endif -%}
    {{ return(as_of) }}
{%- endmacro -%}
