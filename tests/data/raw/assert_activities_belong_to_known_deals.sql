-- A row here means that nearly none of the window's done activities belongs to a deal that changed
-- in it: activities and deal changes may be of different accounts, or their ids were mixed up.
-- Where that is as it should be, set the var min_known_ratio to 0.
{{ config(severity='warn') }}

with

active_deals as (

    select distinct deal_id from {{ source('pipedrive_raw', 'deal_changes') }}
    where {{ in_test_scope('change_time') }}

)

select
    count(*) as activity_count,
    count(active_deals.deal_id) as of_known_deals
from {{ source('pipedrive_raw', 'activity') }} as activities
left join active_deals
    on activities.deal_id = active_deals.deal_id
where
    activities.done
    and activities.deal_id is not null
    and {{ in_test_scope('activities.due_to') }}
having
    count(*) >= {{ checked_var('min_volume') }}
    and count(active_deals.deal_id) < {{ checked_var('min_known_ratio') }} * count(*)
