"""The state of a warehouse on a real server; what is planned from it: tests/unit/test_plan.py."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from datetime import date

import psycopg2
import pytest
from homes import ROOT, Funnel

import runner.months.state
from runner.errors import FunnelError
from runner.months.late_rows import LateRows
from runner.months.ledger import Ledger
from runner.months.state import State, read_state
from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.warehouse.engine import Engine
from runner.warehouse.on_postgres import PostgresEngine

LOAD = (
    "insert into pipedrive_raw.activity (type, deal_id, done, due_to)"
    " values ('meeting', 1, true, '{}'), ('meeting', 2, true, null)"
)


@pytest.fixture
def engine(loaded: Funnel) -> Iterator[PostgresEngine]:
    with closing(psycopg2.connect(LocalPostgres(loaded.home).url())) as connection:
        connection.autocommit = True
        yield PostgresEngine(connection)


@pytest.fixture
def project(loaded: Funnel) -> Project:
    return Project(ROOT, loaded.home)


def test_of_tables_that_are_not_there_nothing_is_known(
    loaded: Funnel, engine: PostgresEngine, project: Project
) -> None:
    state = read_state(engine, project)
    assert (state.built, state.late_rows, state.ledger) == ({}, {}, Ledger())
    assert state.estimated_rows["activity"] > 0
    loaded.query("create schema pipedrive_analytics")
    loaded.query("create table pipedrive_analytics.daily_deal_stats (date date)")
    assert read_state(engine, project).built == {"daily_deal_stats": set()}
    loaded.query(
        "insert into pipedrive_analytics.daily_deal_stats"
        " values ('2024-01-31'), ('2024-01-31'), ('2025-01-01')"
    )
    days = {date(2024, 1, 31), date(2025, 1, 1)}
    assert read_state(engine, project).built == {"daily_deal_stats": days}


@pytest.mark.long
def test_a_look_is_one_snapshot_and_the_next_one_finds_what_it_missed(
    loaded: Funnel, engine: PostgresEngine, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    june = ("--source-dt", "2024-06-30", "--months", "2", "--no-tests")
    loaded.done("run", *june)
    assert read_state(engine, project).late_rows == {}
    read_days = runner.months.state._read_days

    def load_and_read_days(
        engine: Engine, schema: str, tables: Collection[str]
    ) -> Mapping[str, set[date]]:
        for moment in ("1999-12-31 23:00", "2024-05-02", "2024-06-01", "2031-01-01"):
            loaded.query(LOAD.format(moment))
        return read_days(engine, schema, tables)

    with monkeypatch.context() as patch:
        patch.setattr("runner.months.state._read_days", load_and_read_days)
        blind = read_state(engine, project)
    assert blind.late_rows == {}
    found: State = read_state(
        engine, Project(ROOT, loaded.home, overrides={"timezone": "Asia/Tokyo"})
    )
    assert found.late_rows == {
        "2000-01": LateRows(1, date(2000, 1, 1)),
        "2024-05": LateRows(1, date(2024, 5, 2)),
        "2024-06": LateRows(1, date(2024, 6, 1)),
        "2031-01": LateRows(1, date(2031, 1, 1)),
    }
    loaded.done("run", *june)
    assert read_state(engine, project).late_rows == {}


@pytest.mark.long
def test_rows_that_an_extract_has_deleted_are_late_once(
    loaded: Funnel, engine: PostgresEngine, project: Project
) -> None:
    # So that no look goes back by hours.
    for table in ("activity", "deal_changes"):
        loaded.query(f"update pipedrive_raw.{table} set _loaded_at = now() - interval '1 day'")
    june = ("run", "--source-dt", "2024-06-30", "--months", "4", "--no-tests", "--no-freshness")
    loaded.done(*june)
    loaded.query(
        "insert into pipedrive_meta.run_events"
        " (run_id, event, happened_at, months, rows_written, first_day) values"
        " ('', 'removed', now(), '2024-03', 2, '2024-03-05'),"
        " ('', 'removed', now(), '2024-03', 1, '2024-03-02'),"
        " ('', 'removed', now(), '2024-05', 1, '2024-05-09')"
    )
    loaded.query(LOAD.format("2024-05-02"))
    assert read_state(engine, project).late_rows == {
        "2024-03": LateRows(3, date(2024, 3, 2)),
        "2024-05": LateRows(2, date(2024, 5, 2)),
    }
    loaded.done(*june)
    assert read_state(engine, project).late_rows == {}


def test_what_may_not_be_read_is_named(
    loaded: Funnel, engine: PostgresEngine, project: Project
) -> None:
    loaded.query("create schema pipedrive_analytics")
    loaded.query("create table pipedrive_analytics.daily_deal_stats (date date)")
    loaded.query("drop role if exists reader")
    loaded.query("create role reader")
    engine.query("set role reader")
    with pytest.raises(FunnelError, match="permission denied for schema pipedrive_analytics"):
        read_state(engine, project)
    loaded.query("grant usage on schema pipedrive_analytics to reader")
    loaded.query("grant usage on schema pipedrive_raw to reader")
    refusal = "cannot read pipedrive_analytics.daily_deal_stats: permission denied for table"
    with pytest.raises(FunnelError, match=refusal):
        read_state(engine, project)
