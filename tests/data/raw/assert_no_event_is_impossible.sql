-- A row here means events that cannot be as they are recorded: before Pipedrive began in 2010, a
-- deal change after the last load, a deal of number 0 or below. They count for a day or a deal that
-- is not theirs, or nowhere. See what the loader makes of a value that is missing or unreadable.
{{ config(severity='warn') }}

with

-- The tables stand in each part: Postgres would first copy all rows of a CTE that is read twice.
last_load as (

    select cast(max({{ checked_var('loaded_at_field') }}) as timestamp) as loaded_at
    from {{ source('pipedrive_raw', 'deal_changes') }}

),

findings as (

    select
        'activities before 2010' as finding,
        count(*) as event_count
    from {{ source('pipedrive_raw', 'activity') }}
    where due_to < timestamp '2010-01-01'
    union all
    select
        'deal changes before 2010' as finding,
        count(*) as event_count
    from {{ source('pipedrive_raw', 'deal_changes') }}
    where change_time < timestamp '2010-01-01'
    union all
    -- A day of tolerance for time zones.
    select
        'deal changes after the last load' as finding,
        count(*) as event_count
    from {{ source('pipedrive_raw', 'deal_changes') }}
    where
        change_time > (select last_load.loaded_at + interval '1 day' from last_load)
    union all
    select
        'activities of no deal''s number' as finding,
        count(*) as event_count
    from {{ source('pipedrive_raw', 'activity') }}
    where
        deal_id < 1
        and {{ in_test_scope('due_to') }}
    union all
    select
        'deal changes of no deal''s number' as finding,
        count(*) as event_count
    from {{ source('pipedrive_raw', 'deal_changes') }}
    where
        deal_id < 1
        and {{ in_test_scope('change_time') }}

)

select * from findings
where event_count > 0
