{#- Spark replaces whole partitions of a table, and a folder for each day would be too many. -#}
{%- macro month_of_partition(date) -%}
    {{ adapter.dispatch('month_of_partition')(date) }}
{%- endmacro -%}

{%- macro postgres__month_of_partition(date) -%}{%- endmacro -%}

{%- macro spark__month_of_partition(date) -%}
    , trunc({{ date }}, 'month') as month
{%- endmacro -%}
