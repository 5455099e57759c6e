{%- macro reprocess_months() -%}
    {%- set reference_date = ref_date() -%}
    {%- set texts = var('reprocess_months') -%}
    {%- if texts is string or texts is not sequence -%}
        {{ exceptions.raise_compiler_error(
            "var reprocess_months is not a list of 'YYYY-MM': " ~ texts | string | tojson ~ ".") }}
    {%- endif -%}
    {%- set months = [] -%}
    {%- for text in texts | map('string') -%}
        {%- if not modules.re.match('^(19[7-9][0-9]|[2-8][0-9]{3})-(0[1-9]|1[0-2])$', text) -%}
            {{ exceptions.raise_compiler_error(
                "var reprocess_months holds " ~ text | tojson ~ ". Write 'YYYY-MM'.") }}
        {%- endif -%}
        {%- do months.append(text[:4] | int * 12 + text[5:] | int - 1) -%}
        {%- if months[-1] > reference_date.year * 12 + reference_date.month - 1 -%}
            {{ exceptions.raise_compiler_error(
                "var reprocess_months holds a month after source_dt, " ~ reference_date) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(months) }}
{%- endmacro -%}
