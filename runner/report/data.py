"""What a report is made of: one read of everything, aggregates only."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone

from dateutil.relativedelta import relativedelta
from psycopg2 import sql

from runner.errors import FunnelError
from runner.extract.layouts import find_layout
from runner.months.ledger import RecordedRun
from runner.months.state import read_state
from runner.months.status import read_load_times
from runner.project import STAGING, Project
from runner.report.goals import Goal, find_target, read_goals
from runner.report.names import name_of
from runner.report.open_deals import OpenValue, StalledStep, read_open_values, read_stalled
from runner.show.opening import (
    counted_through,
    part_through,
    read_newest_events,
    read_opening,
)
from runner.show.rows import (
    ForecastBacktest,
    FunnelStep,
    LossCount,
    OwnerCount,
    Period,
    PipelineStep,
    Row,
    StalledDeal,
    StepConversion,
    StepForecast,
    StepVelocity,
    WinRate,
    WonValue,
    choose_pipeline,
    read_owner_names,
    read_rows,
)
from runner.text.words import part_of_month, year_month
from runner.warehouse.completeness import Completeness, read_completeness
from runner.warehouse.engine import Engine

TREND_MONTHS = 24
COHORTS = 12
OWNER_MONTHS = 12
MONTHS = 12  # in the page, to choose from
_COMPARED_MONTHS = 13  # the month, the one before, and the same one a year ago


@dataclass(frozen=True)
class OwnerTotal:
    """How many deals of an owner entered each step, by step_order."""

    owner_id: int | None
    deals: Mapping[int, int]


@dataclass(frozen=True)
class Trust:
    """Where the numbers come from.

    Args:
        reference_date: The day through which events are known.
        first_day: First day built.
        last_day: Last day built.
        last_loaded_at: When the newest row of each raw table of events was loaded.
        run: The last run that succeeded and built both daily tables.
        last_run: The run that began last.
        timezone: The reporting time zone.
        read_at: When the report was made, if that matters.
        newest_events: The day of the newest event, by what kind of event it is.
        hours_until_old: From which age on of their newest row the data are old.
        quiet_days: How many days without an event up to the reference date are nothing unusual.
        history: For which time `funnel extract` has brought the history of all deals.
        cannot_give: What the loader of the raw tables cannot give, if that is known.
    """

    reference_date: date
    first_day: date
    last_day: date
    last_loaded_at: Mapping[str, datetime | None] = field(default_factory=dict)
    run: RecordedRun | None = None
    last_run: RecordedRun | None = None
    timezone: str = "UTC"
    read_at: datetime | None = None
    newest_events: Mapping[str, date | None] = field(default_factory=dict)
    hours_until_old: float = 24
    quiet_days: int = 7
    history: Completeness | None = None
    cannot_give: str = ""

    @property
    def counted_through(self) -> date:
        """The last day built, unless the data end before."""
        return counted_through(self.last_day, self.newest_events.values(), self.quiet_days)


@dataclass(frozen=True)
class ReportData:
    """Everything a report about a month says.

    Args:
        month: The month it is about.
        funnel: The steps of the month and of those before, oldest first.
        trust: Where the numbers come from.
        conversion: The cohorts of the last two years.
        velocity: Days in a step, of the months compared.
        losses: The losses of the month.
        win_rates: The deals closed in the last two years.
        won_values: What the deals won in the months compared brought, by currency.
        open_values: The open deals and what they are worth, by currency, as of the reference date.
        owners: Deals by owner, of the last year.
        stalled_steps: Stalled deals per step, as of the reference date.
        stalled_longest: Those that have not moved for longest.
        forecast: Open deals and what to expect of them, as of the reference date.
        backtest: The same of past months, and what became of it.
        won_step: The step that stands for a deal won.
        names: The names of owners, where asked for.
        parallel_steps: The step_order of the steps that no stage stands for.
        goals: What was meant to be reached.
        pipedrive_url: The address of the account, if it is known.
        reason: Why it is about this month, where nobody chose it.
        pipeline: The name of the pipeline that it is about; empty if it is about all.
        earlier: The same of the months before, oldest first.
    """

    month: date
    funnel: Sequence[FunnelStep | PipelineStep]
    trust: Trust
    conversion: Sequence[StepConversion] = ()
    velocity: Sequence[StepVelocity] = ()
    losses: Sequence[LossCount] = ()
    win_rates: Sequence[WinRate] = ()
    won_values: Sequence[WonValue] = ()
    open_values: Sequence[OpenValue] = ()
    owners: Sequence[OwnerTotal] = ()
    stalled_steps: Sequence[StalledStep] = ()
    stalled_longest: Sequence[StalledDeal] = ()
    forecast: Sequence[StepForecast] = ()
    backtest: Sequence[ForecastBacktest] = ()
    won_step: str = "7"
    names: Mapping[int, str] = field(default_factory=dict)
    parallel_steps: Set[int] = frozenset()
    goals: Sequence[Goal] = ()
    pipedrive_url: str | None = None
    reason: str = ""
    pipeline: str = ""
    earlier: Sequence["ReportData"] = ()

    @property
    def title(self) -> str:
        """What it is about, but for the month."""
        return f"Sales funnel: {name_of(self.pipeline)}" if self.pipeline else "Sales funnel"

    @property
    def steps(self) -> Sequence[FunnelStep | PipelineStep]:
        """The steps of the month, in order."""
        return [step for step in self.funnel if step.month == self.month]

    @property
    def months(self) -> Sequence[date]:
        """The months whose funnel is known, oldest first."""
        return sorted({step.month for step in self.funnel})

    @property
    def previous_month(self) -> date:
        """The month before."""
        return self.month - relativedelta(months=1)

    @property
    def year_before(self) -> date:
        """The same month of the year before."""
        return self.month - relativedelta(years=1)

    @property
    def end(self) -> date:
        """The first day of the next month."""
        return self.month + relativedelta(months=1)

    @property
    def part_through(self) -> date | None:
        """The last day counted of a month that was not over; None if it was."""
        return part_through(self.month, self.trust.counted_through)

    @property
    def period(self) -> str:
        """The month, or the part of it that is counted."""
        return part_of_month(self.month, self.part_through)

    @property
    def deals_through(self) -> date | None:
        """The last day of the month of which deals are known; None if they are known of all."""
        return part_through(self.month, min(self.trust.counted_through, self.trust.reference_date))

    @property
    def deals_period(self) -> str:
        """The month, or the part of it of which deals are known."""
        return part_of_month(self.month, self.deals_through)

    @property
    def is_past(self) -> bool:
        """Whether open deals are known as of a later month only."""
        return self.end <= self.trust.reference_date

    @property
    def open_deals_count(self) -> int:
        """How many deals are open as of the reference date."""
        return sum(row.open_deals_count for row in self.open_values)

    @property
    def open_then(self) -> ForecastBacktest | None:
        """The deals that were open at the end of the month, if that is known."""
        return next((row for row in self.backtest if row.month == self.month), None)

    @property
    def winning_step(self) -> FunnelStep | PipelineStep:
        """The step that stands for a deal won; the last one if the funnel lacks it."""
        return next(
            (step for step in self.steps if step.funnel_step == self.won_step), self.steps[-1]
        )

    def deals_in(self, month: date, step_order: int) -> int | None:
        """Return how many deals entered a step in a month, if the month is built."""
        wanted = (month, step_order)
        return next(
            (step.deals_count for step in self.funnel if (step.month, step.step_order) == wanted),
            None,
        )

    def target(self, measure: str, month: date | None = None) -> float | None:
        """Return what a measure should come to in a month, if not in the report's own."""
        return find_target(self.goals, measure, month or self.month)

    def won_in(self, month: date) -> int | None:
        """Return how many deals were won in a month; None where deals are not known of it."""
        won = {row.month: row.won_deals_count for row in self.win_rates}
        is_known = self.trust.first_day.replace(day=1) <= month <= self.trust.reference_date
        return won.get(month, 0 if is_known else None)


def read_report(
    engine: Engine,
    project: Project,
    month: date | None,
    *,
    with_names: bool,
    pipeline: str | None = None,
) -> ReportData:
    """Read everything that a report about a month says; about the latest one if none is given.

    Of one pipeline it is what the tables hold by pipeline: the funnel and the open deals.

    Raises:
        FunnelError: The month or a model is not built, there is no such pipeline, or something
            cannot be read.
    """
    opening = read_opening(engine, project)
    reason = "" if month else opening.reason
    month = month or opening.month
    period = Period.ending(month, TREND_MONTHS + MONTHS - 1)
    funnel: Sequence[FunnelStep | PipelineStep]
    pipeline_id = None
    if pipeline:
        steps = read_rows(engine, project, PipelineStep, period)
        funnel = choose_pipeline(steps, pipeline)
        pipeline_id, pipeline = funnel[-1].pipeline_id, funnel[-1].pipeline_name
        if month not in {step.month for step in funnel}:
            raise FunnelError(
                f"{year_month(month)} is not built for the pipeline {pipeline}",
                hint="`funnel show --last 12 --pipeline NAME` shows which months are.",
            )
    else:
        funnel = read_rows(engine, project, FunnelStep, period)
    engine.hasten()
    stalled_steps, stalled_longest = read_stalled(engine, project, pipeline_id)
    found = ReportData(
        month=month,
        funnel=funnel,
        trust=_read_trust(engine, project),
        open_values=read_open_values(engine, project, pipeline_id),
        stalled_steps=stalled_steps,
        stalled_longest=stalled_longest,
        won_step=str(project.var("won_step")),
        names=read_owner_names(engine, project) if with_names else {},
        parallel_steps=_read_parallel_steps(engine, project),
        pipedrive_url=project.pipedrive_url,
        pipeline=pipeline or "",
    )
    owners: Sequence[OwnerCount] = ()
    if not pipeline:
        found, owners = _read_of_all(engine, project, found)
    months = [at for at in found.months if at in Period.ending(month, MONTHS).months()]
    *earlier, data = [_take_month(found, owners, at) for at in months]
    return replace(data, earlier=earlier, reason=reason)


def _read_of_all(
    engine: Engine, project: Project, found: ReportData
) -> tuple[ReportData, Sequence[OwnerCount]]:
    """Return what was found, with what the tables hold of all pipelines together.

    The views look at the visits of all deals: two at a time, each by one process.
    """
    known = found.trust.reference_date

    def period(months: int) -> Period:
        return Period.ending(found.month, months + MONTHS - 1)

    with engine.beside(project) as second, ThreadPoolExecutor(1) as aside:
        second.hasten()
        backtest = aside.submit(read_rows, second, project, ForecastBacktest, None, known)
        velocity = aside.submit(
            read_rows, second, project, StepVelocity, period(_COMPARED_MONTHS), known
        )
        found = replace(
            found,
            conversion=read_rows(engine, project, StepConversion, period(TREND_MONTHS), known),
            losses=read_rows(engine, project, LossCount, period(1), known),
            win_rates=read_rows(engine, project, WinRate, period(TREND_MONTHS), known),
            won_values=read_rows(engine, project, WonValue, period(_COMPARED_MONTHS), known),
            forecast=read_rows(engine, project, StepForecast),
            goals=read_goals(engine, project),
        )
        owners = read_rows(engine, project, OwnerCount, period(OWNER_MONTHS), known)
        return replace(found, backtest=backtest.result(), velocity=velocity.result()), owners


def _take_month(found: ReportData, owners: Sequence[OwnerCount], month: date) -> ReportData:
    """Return what was found, as far as it belongs into a report about one month."""

    def ending(rows: Sequence[Row], months: int) -> list[Row]:
        period = Period.ending(month, months)
        return [row for row in rows if period.first <= row.about_month < period.end]

    totals: dict[int | None, Counter[int]] = defaultdict(Counter)
    for row in ending(owners, OWNER_MONTHS):
        totals[row.owner_id][row.step_order] += row.deals_count
    return replace(
        found,
        month=month,
        funnel=ending(found.funnel, TREND_MONTHS),
        conversion=ending(found.conversion, TREND_MONTHS),
        velocity=ending(found.velocity, _COMPARED_MONTHS),
        losses=ending(found.losses, 1),
        win_rates=ending(found.win_rates, TREND_MONTHS),
        won_values=ending(found.won_values, _COMPARED_MONTHS),
        owners=[OwnerTotal(owner_id, deals) for owner_id, deals in totals.items()],
    )


def _read_parallel_steps(engine: Engine, project: Project) -> frozenset[int]:
    """Return the step_order of the steps that stand for an activity and for no stage."""
    schema, seed = project.schema(STAGING), "funnel_steps"
    query = sql.SQL(
        "select step_order from {} group by step_order having bool_and(source_type <> 'stage')"
    ).format(sql.Identifier(schema, seed))
    with engine.reading(schema, seed):
        return frozenset(order for (order,) in engine.query(query))


def _read_trust(engine: Engine, project: Project) -> Trust:
    state = read_state(engine, project)
    first_day, last_day = state.first_day, state.last_day
    if first_day is None or last_day is None:
        raise FunnelError("no day is built", hint="Type `funnel run` or `funnel demo`.")
    run = state.ledger.last_good_run
    return Trust(
        reference_date=state.ledger.deals_known_through or (run.source_dt if run else last_day),
        first_day=first_day,
        last_day=last_day,
        last_loaded_at=read_load_times(engine, project),
        run=run,
        last_run=state.ledger.last_run,
        timezone=str(project.var("timezone")),
        read_at=datetime.now(timezone.utc),
        newest_events=read_newest_events(engine, project),
        hours_until_old=float(project.var("freshness_error_hours")),
        quiet_days=int(project.var("quiet_days")),
        history=read_completeness(engine, project),
        cannot_give=layout.cannot_give if (layout := find_layout(project)) else "",
    )
