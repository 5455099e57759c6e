{%- macro is_known(timestamp_column) -%}
    {{ timestamp_column }} < {{ day_start(as_of_date() + modules.datetime.timedelta(days=1)) }}
{%- endmacro -%}
