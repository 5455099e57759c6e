{{
    config(
        materialized='incremental',
        unique_key='deal_id',
        incremental_strategy='delete+insert'
    )
}}

-- Not read, but what is tested there has to be right before deals are called changed.
-- depends_on: {{ ref('deal_staging') }}

{%- set known_through = [as_of_date(), checked_var('deals_known_through') or as_of_date()] | min %}
{%- set news_begin = day_start(known_through + modules.datetime.timedelta(days=1)) %}
{#- To ask which deals more than a year touches takes longer than to compare all of them. #}
{%- set months_touched = window_months() | length + (as_of_date() - known_through).days // 30 %}
{%- set compares_all = not deals_are_computed() or months_touched > 12 %}

with

{% if not compares_all %}
    -- Deals with an event that the run may see for the first time, or in a month of the run, now or
    -- when they were last computed; and those that an earlier run did not come to.
    touched as (

        select deal_id from {{ source('pipedrive_raw', 'deal_changes') }}
        where {{ in_window('change_time') }} or change_time >= {{ news_begin }}
        union
        select deal_id from {{ source('pipedrive_raw', 'activity') }}
        where done and ({{ in_window('due_to') }} or due_to >= {{ news_begin }})
        union
        select deal_id from ({{ computed_deals() }}) as computed_deals
        where last_event_at >= {{ news_begin }} or event_months && array[{{ list_months() }}]
        union
        select deal_id from {{ this }}

    ),
{% endif %}

-- What the models of deals read. A raw change says it all: what its value is called is part of the
-- definition, and looked up for no row.
events as (

    select
        deal_id,
        true as is_change,
        hash_record_extended(row(change_time, changed_field_key, new_value), 0) as event_hash
    from {{ source('pipedrive_raw', 'deal_changes') }}
    where
        deal_id is not null
        and lower(trim(changed_field_key)) in ({{ deal_fields() }})
        {%- if not compares_all %}
            -- An array, unlike a subquery, reaches the index on deal_id.
            and deal_id = any(array(select touched.deal_id from touched))
        {%- endif %}
        and {{ is_known('change_time') }}
    union all
    select
        deal_id,
        false as is_change,
        hash_record_extended(row(due_to, funnel_step), 1) as event_hash
    from {{ ref('activity_staging') }}
    where
        is_done
        and deal_id is not null
        and funnel_step is not null
        {%- if not compares_all %}
            and deal_id = any(array(select touched.deal_id from touched))
        {%- endif %}
        and {{ is_known('due_to') }}

),

definition as (

    select
        (
            select coalesce(sum(hash_record_extended(funnel_steps, 0)), 0)
            from {{ ref('funnel_steps') }} as funnel_steps
        )
        + (
            -- Without their numbers, which move when another KPI comes.
            select sum(hash_record_extended(row(field, field_value, kpi_name, funnel_step), 0))
            from {{ ref('deal_kpis') }}
        )
        + hashtextextended('{{ deals_definition() }}', 0) as definition_hash

),

-- Activities alone do not make a deal.
deals as (

    select
        deal_id,
        cast(
            sum(event_hash) + (select definition.definition_hash from definition) as numeric(38, 0)
        ) as events_hash
    from events
    group by deal_id
    having bool_or(is_change)

),

computed_deals as (

    select
        deal_id,
        events_hash
    from ({{ computed_deals() }}) as computed_deals
    {%- if not compares_all %}
        where deal_id = any(array(select touched.deal_id from touched))
    {%- endif %}

),

-- Without a hash: a deal that no longer has an event.
compared as (

    select
        deals.events_hash,
        coalesce(computed_deals.events_hash, 0) as computed_hash,
        coalesce(deals.deal_id, computed_deals.deal_id) as deal_id
    from deals
    full join computed_deals
        on deals.deal_id = computed_deals.deal_id

)

select
    deal_id,
    events_hash
from compared
{%- if deals_are_computed() and not checked_var('recompute_deals') %}
    where
        events_hash is distinct from computed_hash
        or deal_id in (select waiting.deal_id from {{ this }} as waiting)
{%- endif %}
