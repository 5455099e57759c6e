{%- macro check_vars() -%}
    {%- for name in var_rules()['vars'] -%}
        {%- do checked_var(name) -%}
    {%- endfor -%}
    {%- if env_var('FUNNEL_REPORT_READER', '') -%}
        {%- do checked_name('FUNNEL_REPORT_READER', env_var('FUNNEL_REPORT_READER')) -%}
    {%- endif -%}
    {%- do last_day_to_process() -%}
    {%- do as_of_date() -%}
    {%- do window_months(first_build=true) -%}
{%- endmacro -%}
