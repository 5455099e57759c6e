{%- macro clear_changed_deals() -%}
    {%- if 'model.funnel.deal_stage_visits' in selected_resources -%}
        truncate {{ ref('changed_deals') }}
    {%- endif -%}
{%- endmacro -%}
