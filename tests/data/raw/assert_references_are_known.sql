-- A row here means a user or field that the events of the window name and that the table of its
-- kind does not hold. Load users or fields again: they are older than the events.
{{ config(severity='warn') }}

with

changes as (

    select
        new_value,
        lower(trim(changed_field_key)) as field
    from {{ source('pipedrive_raw', 'deal_changes') }}
    where {{ in_test_scope('change_time') }}

),

changes_of_a_kind as (

    select
        field,
        case when field = 'user_id' then {{ read_id('new_value') }} end as user_id,
        count(*) as event_count
    from changes
    group by field, case when field = 'user_id' then {{ read_id('new_value') }} end

),

referred as (

    select
        'users' as missing_in,
        cast(assigned_to_user as {{ dbt.type_string() }}) as missing,
        count(*) as event_count
    from {{ source('pipedrive_raw', 'activity') }}
    where {{ in_test_scope('due_to') }}
    group by assigned_to_user
    union all
    select
        'users' as missing_in,
        user_id as missing,
        event_count
    from changes_of_a_kind
    union all
    select
        'fields' as missing_in,
        field as missing,
        event_count
    from changes_of_a_kind

),

known as (

    select
        'users' as missing_in,
        cast(id as {{ dbt.type_string() }}) as missing
    from {{ source('pipedrive_raw', 'users') }}
    union all
    select
        'fields' as missing_in,
        lower(trim(field_key)) as missing
    from {{ source('pipedrive_raw', 'fields') }}

)

select
    missing_in,
    missing,
    sum(event_count) as event_count
from referred
where
    missing <> ''
    and (missing_in, missing) not in (
        select
            known.missing_in,
            known.missing
        from known
        where known.missing is not null
    )
group by missing_in, missing
