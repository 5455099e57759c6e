"""What is measured: each subject runs its contenders in turn, several times."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import date, timedelta

from benchmarks import peers
from benchmarks.hand_sql import HandSql
from benchmarks.raw_rows import LAST_DAY, DealHistory, History
from benchmarks.stage import DBT_VARS, Cost, Stage, open_stage

NIGHT = ("--source-dt", str(LAST_DAY))
UNTIL = LAST_DAY + timedelta(days=1)
MONTHS = 36

MODELS = (
    "daily_activity_stats",
    "daily_deal_stats",
    "monthly_activity_stats",
    "monthly_deal_stats",
    "monthly_stats",
)

SQLMESH = "SQLMesh, the two daily models"
FIVE_MODELS = "funnel run, the five models without tests and marts"

MODELS_ONLY = ("--no-freshness", "--no-tests", "--select", " ".join(MODELS))

_MOST_ROWS_A_MONTH = 50_000
"""Of each table, where the history grows and the window does not."""

_DAYS = 92
"""How many of all days dbt microbatch makes."""


@dataclass(frozen=True)
class Figure:
    """A median.

    Args:
        name: Of what.
        values: All that it is the median of.
        unit: s or MB.
    """

    name: str
    values: tuple[float, ...]
    unit: str = "s"

    @property
    def median(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)


@dataclass(frozen=True)
class Goal:
    """A number that was aimed at.

    Args:
        name: What is divided by what, or limited.
        value: What was reached.
        at_most: What was aimed at.
        unit: Nothing for a ratio.
    """

    name: str
    value: float
    at_most: float
    unit: str = ""


@dataclass(frozen=True)
class Outcome:
    """What one subject found."""

    title: str
    figures: tuple[Figure, ...]
    goals: tuple[Goal, ...] = ()


@dataclass
class _Contest:
    """Values of contenders that take turns, so that a slow minute of the machine hits them all."""

    contenders: Mapping[str, Callable[[], float]]
    values: dict[str, list[float]] = field(default_factory=dict)

    def run(self, repeats: int) -> "_Contest":
        for _ in range(repeats):
            for name, measure in self.contenders.items():
                self.values.setdefault(name, []).append(measure())
        return self

    def figures(self) -> tuple[Figure, ...]:
        return tuple(Figure(name, tuple(values)) for name, values in self.values.items())

    def ratio(self, name: str, other: str) -> float:
        return statistics.median(self.values[name]) / statistics.median(self.values[other])


def measure_window(stage: Stage, repeats: int) -> Outcome:
    """A night: freshness, build and tests, by funnel and by three commands of plain dbt."""
    # Each night has another date, which for plain dbt is another parse.
    nights = iter(LAST_DAY - timedelta(days=day) for day in range(100))
    today = {"night": LAST_DAY}

    def plain_dbt() -> float:
        today["night"] = next(nights)
        days = f"process_through: {LAST_DAY}, as_of: {LAST_DAY}"
        dbt_vars = f"{{source_dt: {today['night']}, {days}, "
        dbt_vars += ", ".join(f"{name}: {value}" for name, value in DBT_VARS.items()) + "}"
        commands = (
            ("source", "freshness"),
            ("run",),
            ("test", "--exclude-resource-type=unit_test"),
        )
        return sum(stage.dbt(*command, "--vars", dbt_vars).seconds for command in commands)

    def funnel() -> float:
        return stage.funnel("run", "--source-dt", str(today["night"])).seconds

    contest = _Contest({"dbt source freshness, run, test": plain_dbt, "funnel run": funnel})
    contest.run(repeats)
    ratio = contest.ratio("funnel run", "dbt source freshness, run, test")
    return Outcome(
        "a) A night: 30 days with freshness and tests",
        contest.figures(),
        (Goal("funnel run / plain dbt, three commands", ratio, 0.40),),
    )


def measure_sql(stage: Stage, repeats: int) -> Outcome:
    """The statements of the five models, added up, and the same rows by hand.

    One after the other, so that no statement waits for a core that dbt or another one has.
    """
    windows = {
        "30 days": (LAST_DAY.replace(day=1), 1.5),
        f"{MONTHS} months": (stage.history.first_day, 1.7),
    }
    figures: tuple[Figure, ...] = ()
    goals = []
    for window, (first_month, at_most) in windows.items():
        by_hand = HandSql(stage, first_month, UNTIL)
        by_hand.set_up()
        days = (LAST_DAY - first_month).days
        dbt_vars = f"{{source_dt: {LAST_DAY}, backfill_period: {days}}}"

        def models(dbt_vars: str = dbt_vars) -> float:
            with stage.statements() as seconds:
                stage.dbt("run", "--threads", "1", "--select", *MODELS, "--vars", dbt_vars)
            return sum(seconds.get(f"model.funnel.{name}", 0) for name in MODELS)

        def hand(by_hand: HandSql = by_hand) -> float:
            return by_hand.run(at_once=False)[1]

        contest = _Contest({f"models, {window}": models, f"by hand, {window}": hand}).run(repeats)
        by_hand.check()
        figures += contest.figures()
        ratio = contest.ratio(f"models, {window}", f"by hand, {window}")
        goals.append(Goal(f"SQL of the models / by hand, {window}", ratio, at_most))
    return Outcome("b) The server's time for the models", figures, tuple(goals))


def measure_backfill(stage: Stage, repeats: int) -> Outcome:
    """All months again as whole processes, beside what others take for the daily models."""
    by_hand = HandSql(stage, stage.history.first_day, UNTIL)
    by_hand.set_up()
    sqlmesh = peers.set_up_sqlmesh(stage)
    microbatch = peers.set_up_microbatch(stage)
    contest = _Contest(
        {
            "funnel backfill": lambda: stage.funnel(*_backfill(stage)).seconds,
            "funnel backfill without tests": lambda: (
                stage.funnel(*_backfill(stage, "--no-tests")).seconds
            ),
            FIVE_MODELS: lambda: stage.funnel(*_all_months_of_the_models(stage)).seconds,
            SQLMESH: lambda: peers.restate_with_sqlmesh(stage, sqlmesh).seconds,
            "SQL by hand": lambda: by_hand.run()[0],
        }
    ).run(repeats)
    peers.check_sqlmesh(stage)
    # Minutes for all days, so some of them stand for the rest; the first one starts dbt.
    one, some = (peers.run_microbatch(stage, microbatch, days).seconds for days in (1, _DAYS))
    days = (UNTIL - stage.history.first_day).days
    by_day = f"dbt microbatch by day, plain daily counts, from {_DAYS} days"
    contest.values[by_day] = [one + (some - one) / (_DAYS - 1) * (days - 1)]
    return Outcome(
        f"c) {MONTHS} months, whole processes",
        contest.figures(),
        (
            Goal("the five models / SQLMesh", contest.ratio(FIVE_MODELS, SQLMESH), 1.5),
            Goal("funnel backfill / SQLMesh", contest.ratio("funnel backfill", SQLMESH), 4.0),
            Goal("funnel backfill / dbt microbatch", contest.ratio("funnel backfill", by_day), 0.1),
        ),
    )


def measure_growth(rows: int, repeats: int) -> Outcome:
    """The same night on a history of 2, 20 and 100 months, plan included."""
    rows_a_month = min(rows // 20, _MOST_ROWS_A_MONTH)
    with ExitStack() as stack:
        contenders = {}
        for times in (1, 10, 50):
            history = History(2 * times * rows_a_month, 2 * times)
            stage = stack.enter_context(open_stage(history))
            contenders[f"funnel run, history × {times}"] = _timed(stage, "run", *NIGHT)
            contenders[f"funnel plan, history × {times}"] = _timed(stage, "plan", *NIGHT)
        contest = _Contest(contenders).run(repeats + 1)
    figures = [Figure(found.name, found.values[1:]) for found in contest.figures()]
    return Outcome(
        "d) The same night on a longer history",
        tuple(figures),
        (Goal("funnel run, history × 50 / × 1", figures[4].median / figures[0].median, 1.15),),
    )


def measure_memory(stage: Stage, _: int) -> Outcome:
    """The peak of the runner and of the server's processes, shared buffers counted once."""
    costs: dict[str, Cost] = {
        "run, 30 days": stage.funnel("run", *NIGHT),
        f"backfill, {MONTHS} months": stage.funnel(*_backfill(stage)),
    }
    figures = []
    for name, cost in costs.items():
        figures.append(Figure(f"runner, {name}", (cost.megabytes,), "MB"))
        figures.append(Figure(f"server, {name}", (cost.server_megabytes,), "MB"))
    peak = max(cost.megabytes for cost in costs.values())
    return Outcome("e) Memory", tuple(figures), (Goal("runner", peak, 250, "MB"),))


def measure_commands(stage: Stage, repeats: int) -> Outcome:
    """Commands that a person waits for."""
    commands: dict[str, tuple[str, ...]] = {
        "funnel --help": ("--help",),
        "funnel plan": ("plan", *NIGHT),
        "funnel show": ("show",),
    }
    try:
        stage.funnel("report", "--help")
        commands["funnel report"] = ("report", "--output", str(stage.home / "report.html"))
    except RuntimeError:  # not in this version
        pass
    contest = _Contest(
        {name: _timed(stage, *arguments) for name, arguments in commands.items()}
    ).run(repeats)
    return Outcome("f) Commands", contest.figures())


def measure_load(stage: Stage, repeats: int) -> Outcome:
    """Six files into indexed tables, and COPY of the two large ones into the same."""
    columns = {
        "activity": "activity_id, type, assigned_to_user, deal_id, done, due_to",
        "deal_changes": "deal_id, change_time, changed_field_key, new_value",
    }
    order = {"activity": "activity_id", "deal_changes": "deal_id, change_time"}
    with closing(stage.connect()) as connection, connection.cursor() as cursor:
        for table, names in columns.items():
            with (stage.export / f"{table}.csv").open("wb") as file:
                query = f"select {names} from pipedrive_raw.{table} order by {order[table]}"
                cursor.copy_expert(f"copy ({query}) to stdout (format csv, header)", file)
        cursor.execute("create schema bare")
        for table in columns:
            cursor.execute(f"create table bare.{table} (like pipedrive_raw.{table} including all)")

    def bare() -> float:
        def copies() -> Iterator[float]:
            yield stage.execute("truncate bare.activity, bare.deal_changes")
            for table, names in columns.items():
                file = stage.export / f"{table}.csv"
                copy = f"\\copy bare.{table} ({names}) from '{file}' (format csv, header)"
                yield stage.psql(copy).seconds

        return sum(copies())

    contest = _Contest(
        {
            "COPY of the two large files": bare,
            "funnel load": lambda: stage.funnel("load", str(stage.export)).seconds,
        }
    ).run(repeats)
    ratio = contest.ratio("funnel load", "COPY of the two large files")
    return Outcome("g) Loading", contest.figures(), (Goal("funnel load / COPY", ratio, 1.3),))


def measure_report(deals: int, repeats: int) -> Outcome:
    """The report on a warehouse with many deals, and what it is made of on the terminal."""
    views = ("conversion", "velocity", "losses", "owners", "stalled", "forecast")
    with open_stage(DealHistory(deals, MONTHS)) as stage:
        report = ("report", "--output", str(stage.home / "report.html"))
        costs = [stage.funnel(*report) for _ in range(repeats)]
        shown = _Contest({f"funnel show {view}": _timed(stage, "show", view) for view in views})
        shown.run(repeats)
    seconds = Figure("funnel report", tuple(cost.seconds for cost in costs))
    runner = Figure("funnel report, runner", tuple(cost.megabytes for cost in costs), "MB")
    server = Figure("funnel report, server", tuple(cost.server_megabytes for cost in costs), "MB")
    return Outcome(
        f"h) A report on {deals:,} deals",
        (seconds, runner, server, *shown.figures()),
        (
            Goal("funnel report", seconds.median, 10, "s"),
            Goal("funnel report, runner", runner.median, 500, "MB"),
        ),
    )


def _timed(stage: Stage, *arguments: str) -> Callable[[], float]:
    return lambda: stage.funnel(*arguments).seconds


def _all_months_of_the_models(stage: Stage) -> tuple[str, ...]:
    days = (LAST_DAY - stage.history.first_day).days
    return ("run", *NIGHT, "--backfill-period", str(days), *MODELS_ONLY)


def _backfill(stage: Stage, *options: str) -> tuple[str, ...]:
    first_day: date = stage.history.first_day
    window = ("--from", str(first_day), "--to", str(LAST_DAY))
    return ("backfill", *window, "--no-freshness", *options)
