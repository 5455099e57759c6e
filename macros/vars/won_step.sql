{%- macro won_step() -%}
    {{ return(checked_var('won_step')) }}
{%- endmacro -%}
