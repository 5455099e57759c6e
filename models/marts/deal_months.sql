with

events as (

    select
        deal_id,
        {{ local_date('change_time', 'month') }} as month
    from {{ ref('deal_staging') }}
    where
        deal_id is not null
        {%- if is_incremental() %}
            and {{ in_window('change_time') }}
        {%- endif %}
        and {{ is_known('change_time') }}
    union all
    select
        deal_id,
        {{ local_date('due_to', 'month') }} as month
    from {{ ref('activity_staging') }}
    where
        deal_id is not null
        and is_done
        and funnel_step is not null
        {%- if is_incremental() %}
            and {{ in_window('due_to') }}
        {%- endif %}
        and {{ is_known('due_to') }}

)

select distinct
    deal_id,
    month
from events
{%- if is_incremental() %}
    except
    select
        deal_id,
        month
    from {{ this }}
    where
        month in (
            {%- for month in window_months() %}
                '{{ month }}'{{ ',' if not loop.last }}
            {%- endfor %}
        )
{%- endif %}
