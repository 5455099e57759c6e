with

deal_changes as (

    select
        *,
        lower(trim(changed_field_key)) as field,
        nullif(lower(trim(new_value)), '') as field_value
    from {{ source('pipedrive_raw', 'deal_changes') }}

),

deal_kpis as (

    select * from {{ ref('deal_kpis') }}

)

select
    deal_changes.deal_id,
    deal_changes.field,
    deal_changes.new_value,
    coalesce(named.kpi_name, other.kpi_name) as kpi_name,
    case when named.field_value is null then other.funnel_step else named.funnel_step end
        as funnel_step,
    case
        when deal_changes.field = 'user_id' and deal_changes.field_value ~ '^[0-9]{1,18}$'
            then cast(deal_changes.field_value as bigint)
    end as user_id,
    deal_changes.change_time,
    {{ local_date('deal_changes.change_time') }} as date
from deal_changes
left join deal_kpis as named
    on
        deal_changes.field = named.field
        and deal_changes.field_value = named.field_value
left join deal_kpis as other
    on
        deal_changes.field = other.field
        and other.field_value is null
        -- A change that empties a field is no event: a deal without a reason is not lost.
        and (deal_changes.field_value is not null or deal_changes.field = 'add_time')
