{%- macro delete_months() -%}
    {%- if is_incremental() -%}
        {{ adapter.dispatch('delete_months')(window_months()) }}
    {%- endif -%}
{%- endmacro -%}

{%- macro postgres__delete_months(months) -%}
    delete from {{ this }} where month in ('{{ months | join("', '") }}')
{%- endmacro -%}

{%- macro spark__delete_months(months) -%}
    alter table {{ this }} drop if exists
        partition (month = '{{ months | join("'), partition (month = '") }}')
{%- endmacro -%}
