"""The ledger: only ever added to, and what earlier versions wrote is taken over."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from homes import ROOT, Funnel

from runner.months.ledger import read_definition
from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.raw.demo_data import write_demo
from runner.warehouse.meta import create_ledger

OLD_LEDGER = """
    create schema pipedrive_meta;
    create table pipedrive_meta.runs (
        run_id text primary key,
        command text not null,
        version text not null,
        source_dt date not null,
        months text[] not null,
        definition text not null,
        started_at timestamptz not null default clock_timestamp(),
        finished_at timestamptz,
        outcome text not null default 'running',
        is_complete boolean not null default false,
        as_of date,
        has_insight boolean not null default false,
        models integer,
        tests integer,
        rows_written bigint,
        seen_until timestamptz,
        recent_rows jsonb
    );
    insert into pipedrive_meta.runs values
        (
            'first', 'funnel run', 'funnel 0.1.0', '2024-03-31', array['2024-02', '2024-03'],
            '{definition}', '2024-04-01 01:00Z', '2024-04-01 01:05Z', 'success', true,
            '2024-03-31', true, 20, 90, 1234, '2024-04-01 01:00Z',
            '{{"activity": "3 12.5", "deal_changes": "0 "}}'
        ),
        (
            'plain', 'dbt build', 'dbt 1.11.0', '2024-03-31', array['2024-03'],
            'another', '2024-04-02 01:00Z', '2024-04-02 01:05Z', 'failed', false,
            '2024-03-31', false, 1, 0, 0, null, null
        ),
        (
            'gone', 'funnel run', 'funnel 0.1.0', '2024-04-03', array['2024-03', '2024-04'],
            '{definition}', '2024-04-03 01:00Z', null, 'crashed', false,
            '2024-04-03', false, null, null, null, null, null
        ),
        (
            'open', 'funnel run', 'funnel 0.1.0', '2024-04-04', array[]::text[],
            '{definition}', '2024-04-04 01:00Z', null, 'running', false,
            null, false, null, null, null, null, null
        );
    create table pipedrive_meta.verified_months (
        month text primary key,
        is_drifted boolean not null,
        verified_at timestamptz not null default clock_timestamp()
    );
    insert into pipedrive_meta.verified_months values
        ('2024-02', false, '2024-04-01 02:00Z'), ('2024-03', true, '2024-04-01 03:00Z');
    create table pipedrive_meta.backfills (
        backfill_id bigint generated always as identity primary key,
        command text not null,
        first_day date not null,
        last_day date not null,
        batch text not null,
        next_day date not null,
        started_at timestamptz not null default clock_timestamp(),
        finished_at timestamptz
    );
    insert into pipedrive_meta.backfills
        (command, first_day, last_day, batch, next_day, started_at, finished_at)
    values
        ('backfill', '2024-01-01', '2024-03-31', 'month', '2024-03-01', '2024-04-01Z', null),
        ('rebuild', '2024-01-01', '2024-01-31', 'all', '2024-02-01', '2024-04-01Z', '2024-04-02Z');
    set timezone = 'UTC';
"""
"""As version 0.1.0 made and wrote it."""

WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"


@pytest.fixture
def known(loaded: Funnel) -> Funnel:
    """Two months that version 0.1.0 has built."""
    loaded.query("create schema pipedrive_analytics")
    for table in ("daily_activity_stats", "daily_deal_stats"):
        loaded.query(
            f"create table pipedrive_analytics.{table} as select cast(day as date) as date"
            " from generate_series('2024-02-01', '2024-03-31', interval '1 day') as day"
        )
    seed, _, _ = read_definition(Project(ROOT, loaded.home)).partition(" ")
    loaded.query(OLD_LEDGER.format(definition=seed))
    return loaded


def test_what_an_earlier_version_wrote_is_taken_over_by_the_runner(known: Funnel) -> None:
    status = json.loads(known.done("status", "--json").stdout)
    assert (status["last_run"]["run_id"], status["last_run"]["outcome"]) == ("gone", "crashed")
    good = status["last_good_run"]
    assert (good["run_id"], good["months"]) == ("first", ["2024-02", "2024-03"])
    assert (good["models"], good["tests"], good["rows_written"]) == (20, 90, 1234)
    assert good["finished_at"].startswith("2024-04-01T01:05:00")
    assert status["drifted_months"] == ["2024-03"]
    assert status["verified_at"].startswith("2024-04-01T02:00:00")
    assert status["outdated_months"] == ["2024-03"]
    assert status["unfinished_backfill"] == {
        "command": "backfill",
        "first": "2024-01-01",
        "last": "2024-03-31",
        "batch": "month",
        "next_day": "2024-03-01",
    }
    watermark = "select seen_until, recent_rows from pipedrive_meta.run_events"
    [(_, recent_rows)] = known.query(f"{watermark} where event = 'watermark'")
    assert recent_rows == "activity 3 12.5, deal_changes 0 "
    # All of the demo was loaded after the watermark, and the marts know March.
    planned = json.loads(known.done("plan", "--source-dt", "2024-04-20", "--json").stdout)
    reasons = {month["month"]: month["reasons"] for month in planned["months"]}
    assert reasons == {"2024-02": ["late rows"], "2024-03": ["window"], "2024-04": ["window"]}


def test_plain_dbt_takes_over_the_same(known: Funnel) -> None:
    events = "select * from pipedrive_meta.run_events where happened_at < '2024-12-01'"
    with closing(psycopg2.connect(LocalPostgres(known.home).url())) as connection:
        create_ledger(connection, "pipedrive_meta")
        with connection.cursor() as cursor:
            cursor.execute(events)
            by_the_runner = sorted(map(str, cursor.fetchall()))
        connection.rollback()
    assert known.plain_dbt("seed")
    assert sorted(map(str, known.query(events))) == by_the_runner
    last = "select command, outcome, months from pipedrive_meta.runs order by started_at desc"
    assert known.query(f"{last} limit 1") == [("dbt seed", "success", "")]


def test_two_that_find_no_ledger_at_once_make_one(known: Funnel) -> None:
    url = LocalPostgres(known.home).url()
    with (
        ThreadPoolExecutor() as aside,
        closing(psycopg2.connect(url)) as one,
        closing(psycopg2.connect(url)) as other,
    ):
        create_ledger(one, "pipedrive_meta")
        waiting = aside.submit(create_ledger, other, "pipedrive_meta")
        while not waiting.done() and known.query(WAITING) == [(0,)]:
            pass
        one.commit()
        waiting.result()
        other.commit()
    assert known.query("select count(*) from pipedrive_meta.run_events") == [(15,)]


@pytest.mark.long
def test_nothing_is_ever_changed_in_the_ledger(empty: Funnel, tmp_path: Path) -> None:
    write_demo(tmp_path)
    empty.done("load", str(tmp_path))
    options = ("--no-tests", "--no-freshness")
    empty.done("run", "--source-dt", "2024-02-29", "--months", "2", *options)
    empty.query(
        """
        create function pipedrive_meta.refuse() returns trigger language plpgsql as
        $$ begin raise exception 'the ledger is only added to'; end $$;
        create trigger only_added before update or delete or truncate
            on pipedrive_meta.run_events execute function pipedrive_meta.refuse();
        insert into pipedrive_meta.run_events
            (run_id, event, happened_at, command, version, source_dt, months, definition)
        values ('dead', 'started', now(), 'funnel run', '', '2024-02-29', '2024-02', '');
        """
    )
    empty.done(
        "backfill", "--from", "2024-01-01", "--to", "2024-02-29", "--batch", "month", *options
    )
    empty.done("verify")
    events = empty.query(
        "select event, outcome from pipedrive_meta.run_events order by happened_at"
    )
    assert ("ended", "crashed") in events
    assert {event for event, _ in events} == {
        "started",
        "ended",
        "watermark",
        "verified",
        "backfill_started",
        "batch_ended",
        "backfill_ended",
    }
