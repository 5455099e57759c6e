"""What a view of `funnel show` is, and what it has read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

from dateutil.relativedelta import relativedelta

from runner.project import Project
from runner.show.opening import Opening, part_through, read_opening
from runner.show.rows import FunnelStep, ModelRow, Period, choose_pipeline, read_rows
from runner.show.sentences import deals_behind
from runner.text.words import long_date
from runner.warehouse.engine import Engine

NOBODY = "nobody"


@dataclass(frozen=True)
class Seen:
    """What a view shows.

    Args:
        period: The months it is about.
        rows: The rows it read, by the name that `--json` gives them.
        names: The names of owners, where asked for.
        last_day: The last day built, if that is known.
        counted_through: The same day, unless the data end before.
        reason: Why it is about these months, where nobody chose them.
        deals_through: The day through which deals are known, if that is known.
        warning: That deals are known of fewer days than are built, where it shows deals.
        before: The rows of the month before, where it shows one whole month beside it.
    """

    period: Period
    rows: Mapping[str, Sequence[Any]]
    names: Mapping[int, str] = field(default_factory=dict)
    last_day: date | None = None
    counted_through: date | None = None
    reason: str = ""
    deals_through: date | None = None
    warning: str = ""
    before: Sequence[Any] = ()

    @property
    def known_through(self) -> date | None:
        """The last day of which what it shows is known."""
        return self.deals_through if self.warning else self.last_day

    @property
    def unknown_months(self) -> Sequence[date]:
        """The months of which what it shows is not known yet."""
        months = self.period.months()
        return [month for month in months if self.known_through and month > self.known_through]

    @property
    def known_period(self) -> Period:
        """The months of which what it shows is known, if in part."""
        return Period(self.period.first, min([*self.unknown_months, self.period.end]))

    @property
    def last_counted(self) -> date | None:
        """The last day that counts in what it shows: after it nothing happened, or is known."""
        return min(filter(None, (self.counted_through, self.known_through)), default=None)

    @property
    def part_through(self) -> date | None:
        """The last day counted of the last month known, if that was not over."""
        return part_through(self.known_period.last_month, self.last_counted)

    @property
    def as_of(self) -> str:
        """Of which day its deals are, in words; empty if that is not known."""
        day = self.deals_through or self.last_day
        return f"as of {long_date(day)}" if day else ""

    def describe(self) -> str:
        """Return the months known in words, and to which day the last one is counted."""
        return self.known_period.describe(self.part_through)

    def owner(self, owner_id: int | None) -> str:
        """Return how an owner is called: by id, and by name where asked for."""
        if owner_id is None:
            return NOBODY
        return self.names.get(owner_id) or str(owner_id)


@dataclass(frozen=True)
class View:
    """A view: the models it reads, by the name that `--json` gives them, and how it is drawn.

    Args:
        models: The rows it reads; `--csv` prints the first.
        draw: Returns the view as text, for a width in columns.
        default_months: How many months it shows if nothing is said; None where it has no months
            to choose from but is as of the reference date.
        arrange: How `--json` arranges the rows; a list of them if nothing is said.
        compares: Whether it shows one month beside the month before.
    """

    models: Mapping[str, type[ModelRow]]
    draw: Callable[[Seen, int], str]
    default_months: int | None = 1
    arrange: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = list
    compares: bool = False

    @property
    def is_about_deals(self) -> bool:
        """Whether it reads marts, which may know fewer days than the funnel has."""
        return FunnelStep not in self.models.values()

    @property
    def has_owners(self) -> bool:
        """Whether its rows are about owners."""
        return any(
            column.name == "owner_id" for row in self.models.values() for column in fields(row)
        )


@dataclass(frozen=True)
class Choice:
    """The months that somebody chose: one, the last ones, or those from `since` to one."""

    month: date | None = None
    last: int | None = None
    since: date | None = None

    def period(self, view: View, opening: Opening) -> Period:
        """Return the months; what is not chosen is opened."""
        latest = self.month or (opening.latest if self.last or self.since else opening.month)
        if self.since:
            return replace(Period.ending(latest, 1), first=self.since)
        return Period.ending(latest, 1 if self.month else self.last or view.default_months or 1)


def read_view(
    engine: Engine,
    project: Project,
    view: View,
    choice: Choice,
    deals_through: date | None = None,
) -> Seen:
    """Read what a view shows of the months chosen.

    What deals do after the day through which they are known is left out.

    Raises:
        FunnelError: A model or a month is not built, or cannot be read.
    """
    opening = read_opening(engine, project)
    period = choice.period(view, opening)
    is_chosen = choice != Choice() or view.default_months is None
    warning = deals_behind(deals_through, opening.last_day) if view.is_about_deals else None
    known_through = deals_through if warning else None
    rows = {
        name: read_rows(
            engine, project, row, period if view.default_months else None, known_through
        )
        for name, row in view.models.items()
    }
    before: Sequence[Any] = ()
    is_whole = not part_through(period.first, opening.counted_through)
    if view.compares and is_whole and period.first == period.last_month:
        (row,) = view.models.values()
        month_before = Period(period.first - relativedelta(months=1), period.first)
        before = read_rows(engine, project, row, month_before, is_needed=False)
    return Seen(
        period,
        rows,
        before=before,
        last_day=opening.last_day,
        counted_through=opening.counted_through,
        reason="" if is_chosen else opening.reason,
        deals_through=deals_through,
        warning=warning or "",
    )


def of_pipeline(seen: Seen, pipeline: str) -> Seen:
    """Return what a view of all pipelines shows of one.

    Raises:
        FunnelError: There is no such pipeline, or several have this name.
    """
    rows = {name: choose_pipeline(rows, pipeline) for name, rows in seen.rows.items()}
    numbers = {row.pipeline_id for found in rows.values() for row in found}
    return replace(
        seen, rows=rows, before=[row for row in seen.before if row.pipeline_id in numbers]
    )


def draw_view(view: View, seen: Seen, width: int) -> str:
    """Return a view as text, below what a reader has to know before any number."""
    unknown = seen.unknown_months if view.default_months else ()
    parts = [seen.warning, seen.reason]
    if seen.period.first not in unknown:
        parts.append(view.draw(seen, width))
    if unknown:
        months = Period(unknown[0], seen.period.end)
        parts.append(f"Not known yet: {months.describe()}.")
    return "\n\n".join(filter(None, parts))
