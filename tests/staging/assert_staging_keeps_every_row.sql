-- A row here means that staging has more or fewer rows than the raw table: a join of the view drops
-- or doubles events. Look at what changed in models/staging.
with

row_counts as (

    select
        'activity_staging' as view_name,
        (
            select count(*) from {{ source('pipedrive_raw', 'activity') }}
            where {{ in_test_scope('due_to') }}
        ) as raw_rows,
        (
            select count(*) from {{ ref('activity_staging') }}
            where {{ in_test_scope('due_to') }}
        ) as staged_rows
    union all
    select
        'deal_staging' as view_name,
        (
            select count(*) from {{ source('pipedrive_raw', 'deal_changes') }}
            where {{ in_test_scope('change_time') }}
        ) as raw_rows,
        (
            select count(*) from {{ ref('deal_staging') }}
            where {{ in_test_scope('change_time') }}
        ) as staged_rows

)

select *
from row_counts
where raw_rows <> staged_rows
