"""The counting rules of the funnel once more, in the plainest Python there is: the tests' oracle.

Lists, sets and loops over raw rows; no SQL, and nothing of the runner or the macros. It is slow and
meant to be read: each function says one rule. `Warehouse` adds what lasts from run to run.
"""

import calendar
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

UTC = "UTC"
NO_REASON = ("null", "none", "nan")
"""What exports write where there is no reason."""
MOST_REASONS, LONGEST_REASON, LONGEST_NAME, MOST_DIGITS = 100, 200, 255, 18


class Activity(NamedTuple):
    """A row of `activity`."""

    activity_id: int
    type: str | None
    deal_id: int | None
    done: bool | None
    due_to: datetime | None
    assigned_to_user: int | None = None


class ActivityType(NamedTuple):
    """A row of `activity_types`; no two rows of a type share an id."""

    id: int
    name: str | None
    type: str | None


class DealChange(NamedTuple):
    """A row of `deal_changes`."""

    deal_id: int | None
    change_time: datetime | None
    changed_field_key: str | None
    new_value: str | None


class Field(NamedTuple):
    """A row of `fields`; the options are JSON text."""

    field_key: str | None
    field_value_options: str | None


class Stage(NamedTuple):
    """A row of `stages`."""

    stage_id: int
    stage_name: str | None
    pipeline_id: int | None = None


class Pipeline(NamedTuple):
    """A row of `pipelines`; no two rows share a pipeline_id."""

    pipeline_id: int
    name: str | None


class Step(NamedTuple):
    """A row of the seed `funnel_steps`."""

    source_type: str
    source_name: str
    funnel_step: str
    kpi_name: str
    step_order: int
    pipeline: str | None = None


class Raw(NamedTuple):
    """The raw tables and the funnel's definition."""

    steps: Sequence[Step]
    activities: Sequence[Activity] = ()
    activity_types: Sequence[ActivityType] = ()
    deal_changes: Sequence[DealChange] = ()
    fields: Sequence[Field] = ()
    stages: Sequence[Stage] = ()
    pipelines: Sequence[Pipeline] = ()
    counted: Sequence[str] = ()
    """The var `pipelines`: those that count, by name or number; empty: all."""
    reasons: Mapping[str, str] | None = None
    """`typed_reasons` of these rows, once for many questions; None: each finds them."""


class ActivityKpi(NamedTuple):
    """What an activity is counted as."""

    kpi_name: str
    funnel_step: str | None


class DealKpi(NamedTuple):
    """What a deal change is counted as."""

    field: str
    kpi_name: str
    funnel_step: str | None


Kpi = TypeVar("Kpi", bound=ActivityKpi | DealKpi)

Event = tuple[Kpi, int, date]
"""A KPI happened to a deal on a day."""

Row = tuple[Any, ...]
"""A row of a table, its columns in the table's order."""


class Month(NamedTuple):
    """A calendar month, by its numbers."""

    year: int
    month: int

    @property
    def first_day(self) -> date:
        """The first day."""
        return date(self.year, self.month, 1)

    @property
    def last_day(self) -> date:
        """The last day."""
        return date(self.year, self.month, calendar.monthrange(self.year, self.month)[1])

    @property
    def next(self) -> "Month":
        """The month after."""
        return month_of(self.last_day + timedelta(days=1))

    @property
    def previous(self) -> "Month":
        """The month before."""
        return month_of(self.first_day - timedelta(days=1))


def month_of(day: date) -> Month:
    """Return the month of a day."""
    return Month(day.year, day.month)


def clean(text: str | None) -> str:
    """Return a name as it is compared: case does not matter, nor does space around it."""
    return (text or "").strip(" ").lower()


def read_id(text: str | None) -> str:
    """Return a number that was stored as text as digits alone; any other text as a name.

    Other loaders write the stage 5 as `5.0`, `05` or `"5"`. `1.000` can be a thousand: no number.
    """
    bare = (text or "").strip(" \t\n\r\u00a0\u2007\u202f\u200b\ufeff\"'")
    whole, _, zeros = bare.partition(".")
    is_id = whole.isascii() and whole.isdigit() and len(whole) <= 18
    if is_id and set(zeros) <= {"0"} and len(zeros) != 3 and len(text or "") < 40:
        return str(int(whole))
    return clean(text)


def shown(text: str | None) -> str:
    """Return a name as it is shown."""
    return (text or "").strip(" ")


def local_day(moment: datetime, zone: str) -> date:
    """Return the day of a raw timestamp, which is UTC, in the reporting time zone."""
    return moment.replace(tzinfo=timezone.utc).astimezone(ZoneInfo(zone)).date()


Rest = ParamSpec("Rest")
Answer = TypeVar("Answer")


def remembered(
    question: Callable[Concatenate[Raw, Rest], Answer],
) -> Callable[Concatenate[Raw, Rest], Answer]:
    """Keep the answers to a question about the raw tables, until it is asked about others."""
    asked_about: list[Raw] = []
    answers: dict[tuple[Any, ...], Answer] = {}

    @wraps(question)
    def answer(raw: Raw, /, *rest: Rest.args, **named: Rest.kwargs) -> Answer:
        if not asked_about or asked_about[0] is not raw:
            answers.clear()
            asked_about[:] = [raw]
        if rest not in answers:
            answers[rest] = question(raw, *rest, **named)
        return answers[rest]

    return answer


# What an event is counted as.


def short(name: str) -> str:
    """Return a name as it is counted: of a very long one the beginning, and a hash of all of it."""
    is_long = len(name) > LONGEST_NAME
    return f"{name[:220]}...{hashlib.md5(name.encode()).hexdigest()}" if is_long else name  # noqa: S324


@remembered
def activity_kpi(raw: Raw, activity_type: str | None) -> ActivityKpi:
    """A funnel step's KPI, else the name of the type, the latest one, else Unknown."""
    key = clean(activity_type)
    steps = [step for step in raw.steps if step.source_type == "activity"]
    kpi_name = "Unknown"
    named = [row for row in raw.activity_types if clean(row.type) == key != ""]
    if named:
        kpi_name = short(shown(max(named, key=lambda row: row.id).name)) or "Unknown"
    for step in steps:
        if clean(step.source_name) == key:
            kpi_name = step.kpi_name
    return ActivityKpi(kpi_name, step_named(steps, kpi_name))


@remembered
def deal_kpi(raw: Raw, field: str | None, value: str | None) -> DealKpi | None:
    """What a change of a field to a value is counted as; None: as nothing."""
    key = clean(field)
    if key == "add_time":
        return DealKpi(key, "Deal created", None)
    if clean(value) == "" or (key == "lost_reason" and clean(value) in NO_REASON):
        return None  # a field that is emptied is no event
    if key == "user_id":
        return DealKpi(key, "User added", None)
    if key == "stage_id":
        name = stage_name(raw, read_id(value)) or "Unknown"
        steps = [step for step in raw.steps if step.source_type == "stage"]
        defined = definition(raw, steps, read_id(value), name)
        name = defined.kpi_name if defined else name
        return DealKpi(key, short(name), step_named(steps, name))
    if key == "lost_reason":
        return DealKpi(key, short(reason_name(raw, read_id(value))), None)
    return None  # status, value and the like


def definition(raw: Raw, steps: Sequence[Step], value: str, name: str) -> Step | None:
    """The step of a stage: by its number, else by name and pipeline, else by its name alone."""
    pipeline = pipeline_of(raw, value)
    names = {"", str(pipeline), clean(pipeline_name(raw, pipeline)) if pipeline else ""}
    fitting = [step for step in steps if clean(step.pipeline) in names]
    numbered = [step for step in fitting if shown(step.source_name) == value]
    named = [step for step in fitting if clean(step.source_name) == clean(name)]
    of_pipeline = [step for step in named if clean(step.pipeline)]
    return next(iter(numbered or of_pipeline or named), None)


# In which pipeline a deal is.


@remembered
def pipeline_of(raw: Raw, stage: str) -> int | None:
    """The pipeline of a stage; of several the highest number."""
    found = [row.pipeline_id for row in raw.stages if str(row.stage_id) == stage]
    return max((pipeline for pipeline in found if pipeline is not None), default=None)


def pipeline_name(raw: Raw, pipeline: int) -> str:
    """Its name, else its number."""
    names = [shown(row.name) for row in raw.pipelines if row.pipeline_id == pipeline]
    return first_name(names) or f"Pipeline {pipeline}"


@remembered
def pipeline_counts(raw: Raw, pipeline: int | None) -> bool:
    """Whether the var names it, or none."""
    if not raw.counted:
        return True
    named = {clean(name) for name in raw.counted}
    return pipeline is not None and not named.isdisjoint(
        (str(pipeline), clean(pipeline_name(raw, pipeline)))
    )


def entered_pipeline(raw: Raw, row: DealChange) -> int | None:
    """The pipeline of the stage that a change enters, if it does and that is known."""
    is_stage = clean(row.changed_field_key) == "stage_id"
    return pipeline_of(raw, read_id(row.new_value)) if is_stage else None


@remembered
def pipelines_of(raw: Raw, deal_id: int | None) -> list[tuple[datetime, int]]:
    """When a deal entered a stage of which pipeline.

    Of several at one moment one that counts, and of these the highest.
    """
    entered: dict[datetime, list[int]] = {}
    for row in raw.deal_changes:
        pipeline = entered_pipeline(raw, row) if row.deal_id == deal_id else None
        if pipeline is not None and row.change_time is not None:
            entered.setdefault(row.change_time, []).append(pipeline)
    return [
        (at, max(pipelines, key=lambda number: (pipeline_counts(raw, number), number)))
        for at, pipelines in sorted(entered.items())
    ]


def pipeline_at(raw: Raw, deal_id: int | None, moment: datetime | None) -> int | None:
    """The pipeline of the last stage entered by then, as far as one is known."""
    if moment is None or not any(stage.pipeline_id is not None for stage in raw.stages):
        return None
    before = [pipeline for at, pipeline in pipelines_of(raw, deal_id) if at <= moment]
    return before[-1] if before else None


def counted_deal_kpi(raw: Raw, row: DealChange) -> DealKpi | None:
    """What a change is counted as: as nothing where its pipeline does not count."""
    if raw.counted:
        pipeline = entered_pipeline(raw, row)
        if pipeline is None:
            pipeline = pipeline_at(raw, row.deal_id, row.change_time)
        if not pipeline_counts(raw, pipeline):
            return None
    return deal_kpi(raw, row.changed_field_key, row.new_value)


def counts_here(raw: Raw, row: Activity) -> bool:
    """Whether an activity is done, for a deal in a pipeline that counts, at a known time."""
    is_event = row.done and row.deal_id is not None and row.due_to is not None
    return bool(is_event) and (
        not raw.counted or pipeline_counts(raw, pipeline_at(raw, row.deal_id, row.due_to))
    )


def step_named(steps: Sequence[Step], kpi_name: str) -> str | None:
    """The funnel step whose KPI bears exactly this name."""
    return next((step.funnel_step for step in steps if step.kpi_name == kpi_name), None)


def stage_name(raw: Raw, value: str) -> str | None:
    """What the stages call it, else an option of the field, else it is a step's stage itself.

    Of two names for one stage the first in the alphabet.
    """
    in_stages = [shown(row.stage_name) for row in raw.stages if str(row.stage_id) == value]
    in_options = [label for option, label in options(raw, "stage_id") if option == value]
    in_funnel = [
        shown(step.source_name)
        for step in raw.steps
        if step.source_type == "stage"
        and clean(step.source_name) == value
        and not clean(step.pipeline)
    ]
    return first_name(in_stages) or first_name(in_options) or first_name(in_funnel)


def reason_label(raw: Raw, value: str) -> str | None:
    """The label of the option with this id, else the label that is this text."""
    by_id = [label for option, label in options(raw, "lost_reason") if option == value]
    by_text = [label for _, label in options(raw, "lost_reason") if clean(label) == value]
    return first_name(by_id) or first_name(by_text)


def reason_name(raw: Raw, reason: str) -> str:
    """The label of an option, else the text itself if it is one of those kept."""
    listed = reason_label(raw, reason)
    if listed or is_number(reason):
        return listed or "Unknown"
    reasons = typed_reasons(raw) if raw.reasons is None else raw.reasons
    return reasons.get(reason, "Other")


def is_number(reason: str) -> bool:
    """Whether a reason is the id of an option."""
    return reason.isascii() and reason.isdigit() and len(reason) <= MOST_DIGITS


def typed_reasons(raw: Raw) -> dict[str, str]:
    """The reasons counted under their own text: the first 100, spelled as the first time."""
    spellings: dict[str, str] = {}
    events = [row for row in raw.deal_changes if row.deal_id is not None and row.change_time]
    events.sort(key=lambda row: (row.change_time, clean(row.new_value), shown(row.new_value)))
    for row in events:
        text, reason = row.new_value or "", clean(row.new_value)
        is_reason = clean(row.changed_field_key) == "lost_reason" and reason not in NO_REASON
        is_private = "@" in reason or len(text) > LONGEST_REASON
        is_text = not is_number(read_id(text)) and reason != "other" and not is_private
        if is_reason and reason and is_text and not reason_label(raw, reason):
            spellings.setdefault(reason, shown(text))
    return dict(list(spellings.items())[:MOST_REASONS])


def first_name(names: Sequence[str]) -> str | None:
    """The first in the alphabet of those that are not blank."""
    return min((name for name in names if name), default=None)


@remembered
def options(raw: Raw, field: str) -> list[tuple[str, str]]:
    """Id and label of each option of a field; what is not a list of both is passed over.

    Of two labels for one option the first in the alphabet.
    """
    labels: dict[str, list[str]] = {}
    for row in raw.fields:
        if clean(row.field_key) == field:
            listed = json.loads(row.field_value_options or "null")
            for option in listed if isinstance(listed, list) else []:
                if option.get("id") is not None and shown(option.get("label")) != "":
                    labels.setdefault(read_id(str(option["id"])), []).append(shown(option["label"]))
    return [(option, min(names)) for option, names in labels.items()]


def all_activity_kpis(raw: Raw) -> set[ActivityKpi]:
    """The KPIs that have a row on every day, also where nothing happened."""
    types = [row.type for row in raw.activity_types]
    types += [step.source_name for step in raw.steps if step.source_type == "activity"]
    return {activity_kpi(raw, key) for key in [*types, None]}


def all_deal_kpis(raw: Raw) -> set[DealKpi]:
    """The KPIs that have a row on every day, also where nothing happened."""
    stages = [str(row.stage_id) for row in raw.stages]
    stages += [option for option, _ in options(raw, "stage_id")]
    stages += [
        step.source_name
        for step in raw.steps
        if step.source_type == "stage" and not clean(step.pipeline)
    ]
    reasons = [text for option in options(raw, "lost_reason") for text in option]
    reasons += [*typed_reasons(raw), "other"]
    changes = [("stage_id", value) for value in stages]
    changes += [("lost_reason", value) for value in reasons]
    changes += [(key, "999999999") for key in ("add_time", "user_id", "stage_id", "lost_reason")]
    kpis = [deal_kpi(raw, key, value) for key, value in changes]
    return {kpi for kpi in kpis if kpi}


# Which events count, and how.


def activity_events(raw: Raw, zone: str) -> list[Event[ActivityKpi]]:
    """Only done activities count; their day is that of `due_to`."""
    return [
        (activity_kpi(raw, row.type), row.deal_id, local_day(row.due_to, zone))
        for row in raw.activities
        if counts_here(raw, row) and row.deal_id is not None and row.due_to is not None
    ]


def deal_events(raw: Raw, zone: str) -> list[Event[DealKpi]]:
    """Every change of a counted field to a value; its day is that of `change_time`."""
    events = []
    for row in raw.deal_changes:
        kpi = counted_deal_kpi(raw, row)
        if kpi and row.deal_id is not None and row.change_time is not None:
            events.append((kpi, row.deal_id, local_day(row.change_time, zone)))
    return events


def count_days(
    events: Sequence[Event[Kpi]], kpis: set[Kpi], month: Month, last_day: date
) -> list[Row]:
    """The daily rows of a month up to `last_day`: day, KPI, deals_count, new_deals_count."""
    rows: list[Row] = []
    for kpi in kpis:
        earlier_in_month: set[int] = set()
        for number in range(1, month.last_day.day + 1):
            day = month.first_day.replace(day=number)
            if day <= last_day:
                deals = {deal for event_kpi, deal, on in events if event_kpi == kpi and on == day}
                rows.append((day, *kpi, len(deals), len(deals - earlier_in_month)))
                earlier_in_month |= deals
    return rows


def count_month(
    events: Sequence[Event[Kpi]], kpis: set[Kpi], month: Month, last_day: date
) -> list[Row]:
    """The monthly rows: first day, KPI, deals_count (distinct), deal_days_count.

    From the events themselves, so that it is no sum over the daily rows.
    """
    rows: list[Row] = []
    for kpi in kpis:
        deal_days = {
            (deal, day)
            for event_kpi, deal, day in events
            if event_kpi == kpi and month.first_day <= day <= min(month.last_day, last_day)
        }
        deals = {deal for deal, _ in deal_days}
        rows.append((month.first_day, *kpi, len(deals), len(deal_days)))
    return rows


# What lasts from run to run.


class BuiltMonth(NamedTuple):
    """All rows of one month, and how far it is built."""

    last_day: date
    daily_activity_stats: list[Row]
    daily_deal_stats: list[Row]
    monthly_activity_stats: list[Row]
    monthly_deal_stats: list[Row]


class Warehouse:
    """The five tables. A run replaces whole months; all others stay as they were built."""

    def __init__(self) -> None:
        """Begin empty."""
        self.months: dict[Month, BuiltMonth] = {}
        self.steps: Sequence[Step] = ()

    def built_through(self, day: date) -> date | None:
        """Return how far the month of a day is built: the runner's `process_through`, if later."""
        built = self.months.get(month_of(day))
        return built.last_day if built else None

    def months_of_run(
        self, source_dt: date, backfill_period: int, months: int, reprocess_months: Sequence[Month]
    ) -> set[Month]:
        """Return the months that a run processes."""
        # Every month touched by [source_dt - backfill_period, source_dt],
        touched = {
            month_of(source_dt - timedelta(days=days)) for days in range(backfill_period + 1)
        }
        # on the first build the history up to source_dt,
        if not self.months:
            month = month_of(source_dt)
            for _ in range(months):
                touched.add(month)
                month = month.previous
        # and what the runner adds for gaps and late data.
        return touched | set(reprocess_months)

    def run(  # noqa: PLR0913 - the parameters of a run
        self,
        raw: Raw,
        source_dt: date,
        backfill_period: int,
        months: int,
        *,
        reprocess_months: Sequence[Month] = (),
        process_through: date | None = None,
        timezone: str = UTC,
    ) -> None:
        """Process a window.

        Args:
            raw: The raw tables as they are now.
            source_dt: The reference date; later events never count.
            backfill_period: Days before source_dt whose months are processed again.
            months: Months of history of the first build.
            reprocess_months: More months to process.
            process_through: The last day to process, where source_dt's month is built further.
            timezone: The reporting time zone.
        """
        last_day = process_through or source_dt
        assert month_of(last_day) == month_of(source_dt)
        assert source_dt <= last_day
        assert (self.built_through(source_dt) or last_day) <= last_day
        raw = raw._replace(reasons=typed_reasons(raw))
        activities, activity_kpis = activity_events(raw, timezone), all_activity_kpis(raw)
        changes, deal_kpis = deal_events(raw, timezone), all_deal_kpis(raw)
        for month in self.months_of_run(source_dt, backfill_period, months, reprocess_months):
            assert month <= month_of(source_dt)
            self.months[month] = BuiltMonth(
                min(month.last_day, last_day),
                count_days(activities, activity_kpis, month, last_day),
                count_days(changes, deal_kpis, month, last_day),
                count_month(activities, activity_kpis, month, last_day),
                count_month(changes, deal_kpis, month, last_day),
            )
        self.steps = raw.steps

    def tables(self) -> dict[str, list[Row]]:
        """Return the rows of each of the five tables."""
        built = self.months.values()
        return {
            "daily_activity_stats": [row for month in built for row in month.daily_activity_stats],
            "daily_deal_stats": [row for month in built for row in month.daily_deal_stats],
            "monthly_activity_stats": [
                row for month in built for row in month.monthly_activity_stats
            ],
            "monthly_deal_stats": [row for month in built for row in month.monthly_deal_stats],
            "monthly_stats": self.monthly_stats(),
        }

    def monthly_stats(self) -> list[Row]:
        """Every built month and funnel step, 0 where nothing happened."""
        rows: list[Row] = []
        for month, built in self.months.items():
            counts = [*built.monthly_activity_stats, *built.monthly_deal_stats]
            for step, kpi_name, order in {
                (step.funnel_step, step.kpi_name, step.step_order) for step in self.steps
            }:
                deals, deal_days = 0, 0
                for *_, funnel_step, deals_count, deal_days_count in counts:
                    if funnel_step == step:
                        deals += deals_count
                        deal_days += deal_days_count
                rows.append((month.first_day, kpi_name, step, deals, order, deal_days))
        return rows
