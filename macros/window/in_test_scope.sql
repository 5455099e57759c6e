{%- macro in_test_scope(column, is_date=false) -%}
    {{ return('true' if boolean_var('full_check') else in_window_months(column, is_date)) }}
{%- endmacro -%}
