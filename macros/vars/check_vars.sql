{%- macro check_vars() -%}
    {%- for name in var_rules()['vars'] -%}
        {%- do checked_var(name) -%}
    {%- endfor -%}
    {%- do last_day_to_process() -%}
    {%- do as_of_date() -%}
    {%- do window_months(first_build=true) -%}
{%- endmacro -%}
