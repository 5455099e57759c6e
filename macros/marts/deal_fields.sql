{%- macro deal_fields() -%}
    'add_time', 'user_id', 'value', 'stage_id', 'lost_reason', 'status'
{%- endmacro -%}
