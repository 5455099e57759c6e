{%- macro as_of_date() -%}
    {%- set reference_date = ref_date() -%}
    {%- if var('as_of') is none -%}
        {{ return(reference_date) }}
    {%- endif -%}
    {%- set as_of = date_var('as_of') -%}
    {%- if as_of < reference_date -%}
        {{ exceptions.raise_compiler_error(
            "var as_of must not lie before source_dt: source_dt is " ~ reference_date
            ~ ", as_of is " ~ as_of) }}
    {%- endif -%}
    {{ return(as_of) }}
{%- endmacro -%}
