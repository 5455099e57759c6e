{#- dbt's own gives an empty cell to a session as the text None. -#}
{%- macro spark__load_csv_rows(model, agate_table) -%}
    {%- set types = model['config']['column_types'] -%}
    {%- set rows = [] -%}
    {%- for row in agate_table.rows -%}
        {%- set cells = [] -%}
        {%- for column in agate_table.column_names -%}
            {%- set text = "'" ~ dbt.escape_single_quotes(row[column] | string) ~ "'" -%}
            {%- do cells.append(
                dbt.cast(text if row[column] is not none else 'null', types[column])) -%}
        {%- endfor -%}
        {%- do rows.append('(' ~ cells | join(', ') ~ ')') -%}
    {%- endfor -%}
    {%- set insert = 'insert into ' ~ this ~ ' values ' ~ rows | join(', ') -%}
    {%- if rows -%}
        {%- do run_query(insert) -%}
    {%- endif -%}
    {{ return(insert) }}
{%- endmacro -%}
