"""Random stories of loads and runs: in the end the warehouse is what one clean build gives.

Rows come late, reference dates go back and forth and leave gaps, runs fail halfway. After that one
run heals everything. Where rows vanished or moved without a trace, or the funnel was edited,
`verify --repair` does. FUNNEL_EXAMPLES and FUNNEL_SEED work as in test_counting.py.
"""

import csv
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from homes import ROOT, dbt_server
from hypothesis import given, note, seed
from hypothesis import strategies as st
from oracle import Activity, DealChange, Raw, Stage, Step, Warehouse
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from test_counting import (
    FUNNEL,
    ODD_FUNNEL,
    RAW_SCHEMA,
    SEED,
    STAGES,
    TABLES,
    TYPES,
    UTC_CALENDAR,
    pools,
    random_examples,
)

from runner.console import Console
from runner.errors import ExitCode
from runner.months.pipeline import RunOptions, run_window
from runner.months.verify import verify
from runner.months.window import Window
from runner.project import Project
from runner.transform.dbt_runner import Dbt

pytestmark = pytest.mark.long

Event = Activity | DealChange
SHARE = float(os.environ.get("FUNNEL_STORIES", "0.08"))
"""Stories per example of test_counting.py: each is several whole runs."""


@dataclass
class LoadedEvent:
    """An event and when it was loaded."""

    event: Event
    loaded_at: datetime

    def moved_to(self, moment: datetime | None) -> Event:
        if isinstance(self.event, Activity):
            return self.event._replace(due_to=moment)
        return self.event._replace(change_time=moment)


@dataclass(frozen=True)
class Turn:
    """What happens to the raw tables, and the run after it.

    Args:
        new: Events loaded now, whenever they happened.
        corrected: Events, by position, that move and are marked as loaded now.
        deleted: Events, by position, that vanish without a trace.
        moved: Events, by position, that move without a trace.
        steps: Another definition of the funnel.
        stages: Other names of the stages.
        source_dt: The reference date of the run.
        fails: Whether the second daily table cannot be written.
        dies: Whether the run is killed when the daily tables are written.
    """

    new: tuple[Event, ...] = ()
    corrected: tuple[tuple[int, datetime | None], ...] = ()
    deleted: frozenset[int] = frozenset()
    moved: tuple[tuple[int, datetime | None], ...] = ()
    steps: tuple[Step, ...] | None = None
    stages: tuple[Stage, ...] | None = None
    source_dt: date = date(2024, 1, 1)
    fails: bool = False
    dies: bool = False

    @property
    def leaves_no_trace(self) -> bool:
        return bool(self.deleted or self.corrected or self.moved or self.steps or self.stages)


@dataclass
class Company:
    """A warehouse, its raw tables, and the project that builds it."""

    project: Project
    connection: Connection
    events: list[LoadedEvent] = field(default_factory=list)
    steps: Sequence[Step] = FUNNEL
    stages: Sequence[Stage] = STAGES
    dbt: Dbt | None = None

    def reset(self) -> None:
        for schema in ("analytics", "reporting", "meta"):
            self.execute(f"drop schema if exists pipedrive_{schema} cascade")
        self.events = []
        self.stages = STAGES
        self.define(FUNNEL)

    def define(self, steps: Sequence[Step]) -> None:
        if self.dbt is None or tuple(steps) != tuple(self.steps):
            file = self.project.root / "seeds" / "funnel_steps.csv"
            with file.open("w", newline="", encoding="utf-8") as text:
                csv.writer(text).writerows([Step._fields, *steps])
            self.dbt = Dbt.open(self.project)
        self.steps = steps

    def happen(self, turn: Turn) -> None:
        [(now,)] = self.execute("select clock_timestamp()")
        for position, moment in turn.corrected:
            if position < len(self.events):
                loaded = self.events[position]
                self.events[position] = LoadedEvent(loaded.moved_to(moment), now)
        for position, moment in turn.moved:
            if position < len(self.events):
                loaded = self.events[position]
                self.events[position] = LoadedEvent(loaded.moved_to(moment), loaded.loaded_at)
        self.events = [row for at, row in enumerate(self.events) if at not in turn.deleted]
        self.events += [LoadedEvent(event, now) for event in turn.new]
        if turn.stages is not None:
            self.stages = turn.stages
        if turn.steps is not None:
            self.define(turn.steps)
        self.write()

    def write(self) -> None:
        statements = []
        with self.connection.cursor() as cursor:
            for table in ("activity", "deal_changes", "activity_types", "stages"):
                statements.append(f"delete from pipedrive_raw.{table};".encode())
            rows: list[tuple[str, dict[str, Any]]] = []
            for loaded in self.events:
                table = "activity" if isinstance(loaded.event, Activity) else "deal_changes"
                rows.append((table, {**loaded.event._asdict(), "_loaded_at": loaded.loaded_at}))
            rows += [("activity_types", kind._asdict()) for kind in TYPES]
            rows += [("stages", stage._asdict()) for stage in self.stages]
            for table, row in rows:
                places = ", ".join(["%s"] * len(row))
                insert = f"insert into pipedrive_raw.{table} ({', '.join(row)}) values ({places});"
                statements.append(cursor.mogrify(insert, list(row.values())))
            cursor.execute(b"\n".join(statements))

    def run(self, source_dt: date, *, fails: bool = False, dies: bool = False) -> None:
        table = "pipedrive_analytics.daily_deal_stats"
        breaks = fails and self.execute(f"select to_regclass('{table}')") != [(None,)]
        if breaks:
            self.execute(f"alter table {table} add constraint broken check (false) not valid")
        daily = ("+daily_activity_stats", "+daily_deal_stats") if dies else ()
        options = RunOptions(daily, with_tests=False, with_freshness=False)
        window = Window(source_dt, backfill_period=0, months=2)
        report = run_window(self.project, window, options, Console(quiet=True))
        if breaks:
            self.execute(f"alter table {table} drop constraint broken")
        assert (report.exit_code is ExitCode.DONE) is not breaks, report.results
        if dies:  # nobody lived to write the end down
            self.execute(
                "delete from pipedrive_meta.run_events where event <> 'started' and run_id ="
                " (select run_id from pipedrive_meta.runs order by started_at desc limit 1)"
            )

    def compare_with_a_clean_build(self) -> None:
        [(first, last)] = self.execute(
            "select min(date), max(date) from pipedrive_analytics.daily_deal_stats"
        )
        events = [loaded.event for loaded in self.events]
        raw = Raw(
            self.steps,
            [event for event in events if isinstance(event, Activity)],
            TYPES,
            [event for event in events if isinstance(event, DealChange)],
            (),
            self.stages,
        )
        clean = Warehouse()
        months = (last.year - first.year) * 12 + last.month - first.month + 1
        clean.run(raw, last, 0, months)
        for table, expected in clean.tables().items():
            schema = "pipedrive_reporting" if table == "monthly_stats" else "pipedrive_analytics"
            stored = self.execute(f"select {TABLES[table]} from {schema}.{table}")
            found = Counter(of_known_kpis(stored, expected))
            wanted = Counter(of_known_kpis(expected, stored))
            assert found == wanted, (
                f"{table}: not expected {sorted(found - wanted, key=str)[:8]}, "
                f"missing {sorted(wanted - found, key=str)[:8]}"
            )

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description is not None else []


def of_known_kpis(
    rows: Sequence[tuple[Any, ...]], others: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Leave out the zeros of a KPI that is in no other row of its month.

    A month that was processed before a stage or a reason was known has no zeros of it.
    """

    def kpi(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (row[0].year, row[0].month, *row[1:-3])

    known = {kpi(row) for row in others}
    return [row for row in rows if any(row[-2:]) or kpi(row) in known]


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    print(f"FUNNEL_SEED={SEED} makes these random examples again.")
    with (
        dbt_server() as server,
        pytest.MonkeyPatch.context() as patch,
        closing(psycopg2.connect(server.url())) as connection,
    ):
        root = server.home / "project"
        for name in ("models", "macros", "tests", "seeds", "packages"):
            shutil.copytree(ROOT / name, root / name)
        for name in ("dbt_project.yml", "profiles.yml", "packages.yml"):
            shutil.copy(ROOT / name, root / name)
        shutil.copytree(ROOT / "packages", root / "dbt_packages")
        connection.autocommit = True
        made = Company(Project(root, server.home), connection)
        made.execute(RAW_SCHEMA)
        # One parse for all runs, where each command would make its own.
        patch.setattr("runner.months.pipeline.Dbt", SimpleNamespace(open=lambda _: made.dbt))
        yield made


@st.composite
def stories(draw: st.DrawFn) -> list[Turn]:
    first_day = draw(st.sampled_from(UTC_CALENDAR.months)).first_day
    pool = draw(pools(UTC_CALENDAR, first_day))
    events = st.builds(lambda *both: both[0] + both[1], pool.activities(), pool.changes())
    places = st.integers(0, 12)
    moves = st.lists(st.tuples(places, st.sampled_from(pool.moments)), max_size=3).map(tuple)
    days = st.sampled_from([14, 0, 30, -1, 27, 45, 75, 100, -2, -31])
    source_dates = days.map(lambda number: first_day + timedelta(number))
    fails = st.sampled_from([False, False, True])
    dies = st.sampled_from([False, False, False, True])
    traced = st.builds(Turn, new=events, source_dt=source_dates, fails=fails, dies=dies)
    untraced = st.builds(
        Turn,
        new=events,
        corrected=moves,
        deleted=st.frozensets(places, max_size=3),
        moved=moves,
        steps=st.sampled_from([None, None, FUNNEL, ODD_FUNNEL]),
        stages=st.sampled_from([None, None, (*STAGES, Stage(9, "On Hold")), STAGES[:2]]),
        source_dt=source_dates,
        fails=fails,
        dies=dies,
    )
    first = draw(st.builds(Turn, new=events, source_dt=source_dates, dies=dies))
    later = draw(st.sampled_from([traced, st.one_of(traced, untraced)]))
    return [first, *draw(st.lists(later, min_size=1, max_size=3))]


@seed(SEED + 1)
@random_examples(SHARE)
@given(story=stories())
def test_in_the_end_all_is_as_one_clean_build(company: Company, story: list[Turn]) -> None:
    company.reset()
    for turn in story:
        note(f"{turn}")
        company.happen(turn)
        company.run(turn.source_dt, fails=turn.fails, dies=turn.dies)
    company.run(max(turn.source_dt for turn in story))
    if any(turn.leaves_no_trace for turn in story):
        verdict = verify(company.project, Console(quiet=True), None, None, repair=True)
        assert verdict.exit_code is ExitCode.DONE
    company.compare_with_a_clean_build()
