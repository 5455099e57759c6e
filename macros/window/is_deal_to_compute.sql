{%- macro is_deal_to_compute(is_hook=false) -%}
    {%- set states = load_relation(this.incorporate(path={'identifier': 'deal_states'}))
        if is_incremental() -%}
    {%- set all_deals -%}
        select deal_id from {{ ref('deal_months') }}
        where
        {%- if states and this.identifier == states.identifier and not is_hook %}
            not exists (select 1 from {{ this }})
        {%- else %}
            exists (
                select 1 from {{ states }} as states
                where states.first_status_at is distinct from (
                    select min(first_status_at) from {{ ref('deal_first_statuses') }}
                )
            )
        {%- endif %}
    {%- endset -%}
    {%- set of_window = is_deal_of_window() -%}
    {%- if states -%}
        ({{ of_window }} or {{ is_among('deal_id', all_deals) }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro -%}
