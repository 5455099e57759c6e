-- Roles with the rights that funnel's work needs, and no others. To be run once the raw tables are
-- there, by a superuser, or by the owner of database and raw tables if that role may create roles.
-- A second time changes nothing.
--
--     psql -d DATABASE -f docs/roles.sql
--     psql -d DATABASE -v raw_schema=crm -v loaded_at_field=_fivetran_synced -f docs/roles.sql
--
-- Run it again after a loader has dropped and re-created a raw table, because its grants are gone.
--
-- These roles cannot log in. Make logins their members, here one for the nightly run and one for a
-- dashboard; \password asks for the password, so that it is in no file and no history:
--
--     create role nightly login in role funnel_writer;
--     alter default privileges for role nightly in schema pipedrive_reporting
--         grant select on tables to funnel_report_reader;
--     \password nightly
--     create role dashboard login in role funnel_report_reader;
--     \password dashboard
--
-- Every run re-creates monthly_stats, and grants go with the old table: the default privileges are
-- for the new one. FUNNEL_REPORT_READER=funnel_report_reader, where funnel runs, does the same. Do
-- not `alter role nightly set role funnel_writer`: Ctrl-C could then not end its queries.

\set ON_ERROR_STOP on
\if :{?raw_schema} \else \set raw_schema pipedrive_raw \endif
\if :{?loaded_at_field} \else \set loaded_at_field _loaded_at \endif
set client_min_messages = warning;
begin;

-- `create role` knows no `if not exists`.
select format('create role %I nologin', name)
from unnest(array['funnel_raw_reader', 'funnel_writer', 'funnel_report_reader']) as name
where to_regrole(name) is null
\gexec

-- Only a member can hand tables over; a superuser counts as one.
select 'grant funnel_writer to current_user' where not pg_has_role('funnel_writer', 'usage')
\gexec

-- Each run makes temporary tables. The schemas are made here, not by the run, so that funnel_writer
-- needs no right to create others.
select
    format('grant connect, temporary on database %I to funnel_writer', current_database()),
    format('grant connect on database %I to funnel_report_reader', current_database())
\gexec
create schema if not exists pipedrive_staging;
create schema if not exists pipedrive_analytics;
create schema if not exists pipedrive_reporting;
create schema if not exists pipedrive_meta;
create schema if not exists pipedrive_audit;

-- funnel_raw_reader: the raw tables but the names and e-mail addresses of users. New columns of the
-- other tables are included, because the views of pipedrive_staging select all columns.
grant usage on schema :"raw_schema" to funnel_raw_reader;
grant select on
    :"raw_schema".activity, :"raw_schema".activity_types, :"raw_schema".deal_changes,
    :"raw_schema".fields, :"raw_schema".stages
    to funnel_raw_reader;
select format('grant select on %I.pipelines to funnel_raw_reader', :'raw_schema')
where to_regclass(format('%I.pipelines', :'raw_schema')) is not null
\gexec
grant select (id, modified, :"loaded_at_field") on :"raw_schema".users to funnel_raw_reader;
select format('grant select on %s to funnel_raw_reader', cast(oid as regclass))
from pg_class
where relnamespace = cast(:'raw_schema' as regnamespace) and relname = 'pipelines'
\gexec

-- funnel_writer: what `funnel run` needs. The views of pipedrive_staging read the raw tables with
-- the rights of their owner, and pipedrive_audit holds raw rows that fail a test: let nobody else
-- into these schemas.
grant funnel_raw_reader to funnel_writer;
-- Of what `funnel extract` keeps, which a role of its own runs, the owner of the raw tables: when.
select format(command, 'pipedrive_landing')
from unnest(array[
    'grant usage on schema %s to funnel_writer', 'grant select on %s.extracts to funnel_writer'
]) as command
where exists (
    select from pg_class
    where relnamespace = to_regnamespace('pipedrive_landing') and relname = 'extracts'
)
\gexec
grant usage, create on schema
    pipedrive_staging, pipedrive_analytics, pipedrive_reporting, pipedrive_meta, pipedrive_audit
    to funnel_writer;

-- dbt replaces tables, which only their owner may: what others have built so far is handed over. A
-- new login for the nightly run needs this too, so run this script again, as a superuser.
select format('alter table %s owner to funnel_writer', cast(oid as regclass))
from pg_class
where
    relnamespace in (
        cast('pipedrive_staging' as regnamespace),
        cast('pipedrive_analytics' as regnamespace),
        cast('pipedrive_reporting' as regnamespace),
        cast('pipedrive_meta' as regnamespace),
        cast('pipedrive_audit' as regnamespace)
    )
    and relkind in ('r', 'p', 'v', 'm')
    and relowner <> to_regrole('funnel_writer')
    and pg_has_role(relowner, 'usage')
\gexec

-- funnel_report_reader: the result, where it is built.
grant usage on schema pipedrive_reporting to funnel_report_reader;
select 'grant select on pipedrive_reporting.monthly_stats to funnel_report_reader'
from pg_class
where
    oid = to_regclass('pipedrive_reporting.monthly_stats')
    and pg_has_role(relowner, 'usage')
\gexec

commit;
