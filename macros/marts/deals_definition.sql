{%- macro deals_definition() -%}
    {%- set parts = [won_step(), reporting_timezone()] -%}
    {%- if execute -%}
        {%- for name in ('deal_staging', 'deal_events', 'deal_stage_visits', 'deal_states') -%}
            {%- do parts.append(graph.nodes['model.funnel.' ~ name].checksum.checksum) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(parts | join(' ')) }}
{%- endmacro -%}
