"""The funnel and the marts as Python sees them: a dataclass for a row of each.

The fields of a row are the columns of its model, so a row is read, printed as CSV and as JSON by
one list of names.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

from dateutil.relativedelta import relativedelta
from psycopg2 import sql

from runner.errors import FunnelError
from runner.project import ANALYTICS, REPORTING, Project
from runner.text.words import listed, month_name, part_of_month, year_month
from runner.warehouse.engine import Engine

WHOLE_FUNNEL = 0
"""The step_order of the row of step_velocity that is about the whole funnel."""


@dataclass(frozen=True)
class ModelRow:
    """A row of a model.

    The class says which model it is, in which schema, by which month its rows are distinguished, if
    by any, whether a month has rows even if nothing happened in it, and whether a row is about the
    end of its month.
    """

    model: ClassVar[str]
    schema: ClassVar[str] = ANALYTICS
    month_column: ClassVar[str | None] = "month"
    order: ClassVar[tuple[str, ...]] = ("month", "step_order")
    is_dense: ClassVar[bool] = False
    is_of_month_end: ClassVar[bool] = False

    @property
    def about_month(self) -> date:
        """The month that it is about, of a row that is about one."""
        month: date = getattr(self, str(self.month_column))
        return month

    def is_known(self, known_through: date | None) -> bool:
        """Return whether the row is about a time of which something is known, if it has one."""
        if known_through is None or self.month_column is None:
            return True
        wait = relativedelta(months=1, days=-1) if self.is_of_month_end else relativedelta()
        return self.about_month + wait <= known_through

    def document(self) -> dict[str, Any]:
        """Return the row as `--json` prints it."""
        return {name: _for_json(name, value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class FunnelStep(ModelRow):
    """How many deals entered a step in a month, and on how many days."""

    model: ClassVar[str] = "monthly_stats"
    schema: ClassVar[str] = REPORTING
    is_dense: ClassVar[bool] = True

    month: date
    kpi_name: str
    funnel_step: str
    deals_count: int
    step_order: int
    deal_days_count: int


@dataclass(frozen=True)
class PipelineStep(ModelRow):
    """How many deals entered a step in a month, in one pipeline."""

    model: ClassVar[str] = "monthly_stats_by_pipeline"
    order: ClassVar[tuple[str, ...]] = ("month", "pipeline_id", "step_order")

    month: date
    pipeline_id: int
    pipeline_name: str
    kpi_name: str
    funnel_step: str
    step_order: int
    deals_count: int


@dataclass(frozen=True)
class StepConversion(ModelRow):
    """How many deals of the cohort created in a month came to a step. Rates are 0 to 1."""

    model: ClassVar[str] = "funnel_conversion"
    month_column: ClassVar[str | None] = "cohort_month"
    order: ClassVar[tuple[str, ...]] = ("cohort_month", "step_order")

    cohort_month: date
    kpi_name: str
    funnel_step: str
    step_order: int
    cohort_deals_count: int
    reached_deals_count: int
    entered_deals_count: int
    reached_from_previous: float | None
    reached_from_first: float | None
    entered_from_previous: float | None
    entered_from_first: float | None
    is_mature: bool


@dataclass(frozen=True)
class StepVelocity(ModelRow):
    """How many days the visits to a step took that ended in a month; step_order 0 is the funnel."""

    model: ClassVar[str] = "step_velocity"

    month: date
    kpi_name: str
    funnel_step: str | None
    step_order: int | None
    visits_ended_count: int
    median_days: float | None
    p75_days: float | None
    p90_days: float | None


@dataclass(frozen=True)
class LossCount(ModelRow):
    """How many deals were lost in a month in a step for a reason."""

    model: ClassVar[str] = "losses_monthly"
    order: ClassVar[tuple[str, ...]] = ("month", "step_order", "lost_reason")

    month: date
    kpi_name: str
    funnel_step: str | None
    step_order: int | None
    lost_reason: str | None
    deals_count: int


@dataclass(frozen=True)
class WinRate(ModelRow):
    """How many of the deals closed in a month were won."""

    model: ClassVar[str] = "win_rate_monthly"
    order: ClassVar[tuple[str, ...]] = ("month",)

    month: date
    won_deals_count: int
    lost_deals_count: int
    lost_after_won_deals_count: int
    win_rate: float | None


@dataclass(frozen=True)
class WonValue(ModelRow):
    """What the deals won in a month brought, in one currency."""

    model: ClassVar[str] = "won_value_monthly"
    order: ClassVar[tuple[str, ...]] = ("month", "currency")

    month: date
    currency: str | None
    won_deals_count: int
    valued_deals_count: int
    won_value: float | None
    average_value: float | None


@dataclass(frozen=True)
class OwnerCount(ModelRow):
    """How many deals of an owner entered a step in a month; deals_count can be added up."""

    model: ClassVar[str] = "monthly_stats_by_owner"
    order: ClassVar[tuple[str, ...]] = ("month", "owner_id", "step_order")

    month: date
    owner_id: int | None
    kpi_name: str
    funnel_step: str
    step_order: int
    deals_count: int
    owner_deals_count: int


@dataclass(frozen=True)
class StalledDeal(ModelRow):
    """An open deal that has not moved for longer than is usual in its step."""

    model: ClassVar[str] = "stalled_deals"
    month_column: ClassVar[str | None] = None
    order: ClassVar[tuple[str, ...]] = ("step_order", "last_moved_at", "deal_id")

    deal_id: int
    owner_id: int | None
    kpi_name: str
    funnel_step: str | None
    step_order: int | None
    last_moved_at: datetime
    days_since_last_movement: int
    stalled_after_days: float | None
    limit_of: str


@dataclass(frozen=True)
class StepForecast(ModelRow):
    """The open deals of a step, and how many of them to expect to be won."""

    model: ClassVar[str] = "pipeline_forecast"
    month_column: ClassVar[str | None] = None
    order: ClassVar[tuple[str, ...]] = ("step_order",)

    kpi_name: str
    funnel_step: str | None
    step_order: int | None
    open_deals_count: int
    given_up_deals_count: int
    open_value: float | None
    currency: str | None
    currencies_count: int
    win_rate: float | None
    median_days_to_win: float | None
    expected_wins: float | None
    expected_value: float | None


@dataclass(frozen=True)
class ForecastBacktest(ModelRow):
    """What was to be expected of the deals open at the end of a month, and what became of them.

    Only the numbers of new deals can be added up: a deal is open at the end of several months.
    """

    model: ClassVar[str] = "pipeline_forecast_backtest"
    order: ClassVar[tuple[str, ...]] = ("month",)
    is_of_month_end: ClassVar[bool] = True

    month: date
    open_deals_count: int
    rated_deals_count: int
    horizon_months: int | None
    is_over: bool
    expected_wins: float | None
    actual_wins: int | None
    new_deals_count: int
    new_expected_wins: float | None
    new_actual_wins: int | None


@dataclass(frozen=True)
class Period:
    """Whole months: from the first of one to, but without, the first of another."""

    first: date
    end: date

    @classmethod
    def ending(cls, last_month: date, months: int) -> "Period":
        """Return that many months, the last of which is given."""
        end = last_month + relativedelta(months=1)
        return cls(end - relativedelta(months=months), end)

    @property
    def last_month(self) -> date:
        """The first day of the last month."""
        return self.end - relativedelta(months=1)

    def months(self) -> list[date]:
        """Return the first day of each month."""
        return [
            self.first + relativedelta(months=place)
            for place in range(
                (self.end.year - self.first.year) * 12 + self.end.month - self.first.month
            )
        ]

    def describe(self, through: date | None = None) -> str:
        """Return the months in words, the last one perhaps in part.

        'December 2024', or 'October 2024 to December 2024 (to 11 December)'.
        """
        last = part_of_month(self.last_month, through)
        return last if self.first == self.last_month else f"{month_name(self.first)} to {last}"


Row = TypeVar("Row", bound=ModelRow)


def require_built(engine: Engine, project: Project, row: type[ModelRow] = FunnelStep) -> None:
    """Raise a FunnelError unless a model is built; if none is named, the funnel."""
    schema = project.schema(row.schema)
    if not engine.table_exists(schema, row.model):
        raise FunnelError(
            f"{schema}.{row.model} is not built yet", hint="Type `funnel run` or `funnel demo`."
        )


def read_rows(
    engine: Engine,
    project: Project,
    row: type[Row],
    period: Period | None = None,
    known_through: date | None = None,
    *,
    is_needed: bool = True,
) -> list[Row]:
    """Return the rows of a model, of some months if it has any, in order.

    Args:
        engine: The warehouse.
        project: The project.
        row: What to read.
        period: The months; all if none are given.
        known_through: The day through which the model knows what happened: rows about later months
            are left out, since what they say is not known yet.
        is_needed: Whether it is an error that the last month is not built.

    Raises:
        FunnelError: The model or its last month of the period is not built, or cannot be read.
    """
    require_built(engine, project, row)
    schema = project.schema(row.schema)
    names = [field.name for field in fields(row)]
    month = sql.Identifier(row.month_column) if row.month_column and period else None
    query = sql.SQL("select {} from {} where {} order by {}").format(
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.Identifier(schema, row.model),
        sql.SQL("{0} >= %s and {0} < %s").format(month) if month else sql.SQL("true"),
        sql.SQL(", ").join(map(sql.Identifier, row.order)),
    )
    limits = (period.first, period.end) if month and period else ()
    with engine.reading(schema, row.model):
        found = [row(*map(plain, values)) for values in engine.query(query, limits)]
    rows = [line for line in found if line.is_known(known_through)]
    is_missing = period and period.last_month not in (step.about_month for step in rows)
    if period and is_missing and row.is_dense and is_needed:
        raise FunnelError(
            f"{year_month(period.last_month)} is not built",
            hint="`funnel show --last 12` shows which months are.",
        )
    return rows


def choose_pipeline(rows: Sequence[PipelineStep], pipeline: str) -> list[PipelineStep]:
    """Return the rows of the pipeline with this number, or this name, whatever its case.

    Raises:
        FunnelError: There is no such pipeline, or several have this name.
    """
    wanted = pipeline.strip().lower()
    names = {row.pipeline_id: row.pipeline_name for row in rows}
    numbers = [number for number in names if str(number) == wanted] or [
        number for number, name in names.items() if name.lower() == wanted
    ]
    if len(numbers) == 1:
        return [row for row in rows if row.pipeline_id == numbers[0]]
    if numbers:
        raise FunnelError(
            f"the pipelines {listed([*map(str, sorted(numbers))])} are called {pipeline}",
            hint="Give the number of one.",
        )
    there = sorted(set(names.values()))
    raise FunnelError(
        f"there is no pipeline {pipeline}",
        hint=f"There {'are' if len(there) > 1 else 'is'} {listed(there)}."
        if there
        else "The raw tables `pipelines` and `stages` say which stages are in which pipeline.",
    )


def read_owner_names(engine: Engine, project: Project) -> dict[int, str]:
    """Return the names of users by their id. They are personal data: only where asked for.

    Raises:
        FunnelError: This role may not read names, or there is no table of users.
    """
    schema = project.raw_schema
    query = sql.SQL("select id, name from {}").format(sql.Identifier(schema, "users"))
    with engine.reading(schema, "users"):
        return {number: name for number, name in engine.query(query) if name}


def plain(value: Any) -> Any:  # noqa: ANN401 - a cell of any column
    """Return a cell as Python and JSON reckon with it: numeric as float, a time in UTC bare."""
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(timezone.utc).replace(tzinfo=None)
    return float(value) if isinstance(value, Decimal) else value


def _for_json(name: str, value: Any) -> Any:  # noqa: ANN401 - a cell of any column
    is_month = "month" in name and isinstance(value, date)
    return year_month(value) if is_month else value
