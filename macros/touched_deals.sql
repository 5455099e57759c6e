{%- macro touched_deals() -%}
    {#- Outside of the condition, so that dbt sees the dependencies when it parses. -#}
    {%- set changes, activities = ref('deal_staging'), ref('activity_staging') -%}
    select deal_id from {{ changes }}
    {%- if is_incremental() %}
    {%- set known = [as_of_date(), deals_known_through() or as_of_date()] | min %}
    {%- set news_begin = day_start(known + modules.datetime.timedelta(days=1)) %}
    where {{ in_window('change_time') }} or change_time >= {{ news_begin }}
    union
    select deal_id from {{ activities }}
    where is_done and ({{ in_window('due_to') }} or due_to >= {{ news_begin }})
    {#- Not by ref: deal_states is built after the model that reads its last state here. #}
    {%- set states = adapter.get_relation(this.database, this.schema, 'deal_states') %}
    {%- if states %}
    union
    select deal_id from {{ states }}
    where last_event_at >= {{ news_begin }} or event_months && array[{{ list_months() }}]
    {%- endif %}
    {%- endif %}
{%- endmacro -%}
