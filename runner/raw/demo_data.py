"""Write a generated data set: two years of a sales team, with what real exports look like.

The same bytes on every machine: of the random generator only `random()` is used, the one
function whose numbers Python promises to keep.
"""

import csv
import io
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TypeVar

from runner.console import write_file

T = TypeVar("T")
Cell = str | int | None

FIRST_DAY = date(2023, 1, 1)
LAST_DAY = date(2024, 12, 31)

_SEED = 20230101
_WARM_UP_DAYS = 150  # deals begun before the first day, so that its month has late steps too
_DEALS_PER_WEEKDAY = 4.2
_GROWTH_PER_YEAR = 0.3
_SEASON = (0.95, 1.0, 1.1, 1.05, 1.0, 0.95, 0.8, 0.75, 1.05, 1.15, 1.15, 0.8)
_SATURDAY = 5
_WEEKEND = 0.12

_STAGES = {
    1: "Lead Generation",
    2: "Qualified lead",  # the funnel spells it 'Qualified Lead'
    3: "Needs Assessment",
    4: "Proposal/Quote Preparation",
    5: "Negotiation",
    6: "Closing",
    7: "Implementation/Onboarding",
    8: "Follow-up/Customer Success",
    9: "Renewal/Expansion",
    10: "On Hold",  # no step of the funnel
}
_ON_HOLD = 10
_LAST_STAGE = 9
_PROPOSAL = 4
_ONBOARDING = 7
_FOREIGN = 7  # one deal of so many is in another currency
_SMALLEST_VALUE = 250
# By stage: the share that goes on, and the days until then, at least and at most.
_ADVANCE = {
    1: (0.70, 1, 12),
    2: (0.74, 2, 14),
    3: (0.74, 3, 16),
    4: (0.72, 2, 18),
    5: (0.72, 3, 20),
    6: (0.82, 1, 12),
    7: (0.86, 10, 40),
    8: (0.62, 20, 70),
}
# By stage: the activity that belongs between it and the next one, and its share.
_CALLS = {
    2: ("meeting", 0.97),
    3: ("sc_2", 0.95),
    5: ("follow_up", 0.55),
    7: ("after_close_call", 0.5),
}

_ACTIVITY_TYPES = {
    "meeting": "Sales Call 1",
    "sc_2": "Sales Call 2",
    "follow_up": "Follow Up Call",
    "after_close_call": "After Close Call",
}
_LOST_REASONS = {
    1: "Customer Not Ready",
    2: "Pricing Issues",
    3: "Unreachable Customer",
    4: "Product Mismatch",
    5: "Chose a Competitor",
    6: "Duplicate Entry",
    7: "Budget Cut",
}
_DELETED_REASON = 99  # an option that was removed from the account's settings
_USERS = 12
_FIRST_DEAL = 41001
_FIRST_UNKNOWN_DEAL = 700001
_UNKNOWN_DEALS = 4000


@dataclass(frozen=True)
class DemoSummary:
    """What was written."""

    rows: Mapping[str, int]
    """Rows by table."""

    deals: int
    first_day: date
    last_day: date


class _Chance:
    """Random choices made of `random()` alone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random  # noqa: S311 - a data set, not a secret

    def happens(self, share: float) -> bool:
        return self._random() < share

    def whole(self, low: int, high: int) -> int:
        return low + int(self._random() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        return options[self.whole(0, len(options) - 1)]


@dataclass(frozen=True)
class _Change:
    at: datetime
    deal_id: int
    field_key: str
    value: str


@dataclass(frozen=True)
class _Activity:
    at: datetime
    type: str
    user_id: int | None
    deal_id: int | None
    done: bool


@dataclass
class _Account:
    """The sales team's CRM as it fills up."""

    chance: _Chance
    changes: list[_Change] = field(default_factory=list)
    activities: list[_Activity] = field(default_factory=list)

    def change(self, at: datetime, deal_id: int, field_key: str, value: str | int) -> None:
        self.changes.append(_Change(at, deal_id, field_key, str(value)))

    def enter(self, at: datetime, deal_id: int, stage: int) -> None:
        self.change(at, deal_id, "stage_id", stage)

    def call(self, at: datetime, kind: str, deal_id: int) -> None:
        """Add an activity; of many the deal is not in the export, of a few it is not set."""
        known: int | None = deal_id
        if self.chance.happens(0.4):
            known = _FIRST_UNKNOWN_DEAL + self.chance.whole(0, _UNKNOWN_DEALS)
        elif self.chance.happens(0.01):
            known = None
        user = None if self.chance.happens(0.01) else self.chance.whole(1, _USERS)
        times = [at]
        if self.chance.happens(0.08):  # a second call on the same deal
            times.append(self.after(at, 1, 9))
        for time_of_call in times:
            done = self.chance.happens(0.94 if time_of_call.date() <= LAST_DAY else 0.1)
            self.activities.append(_Activity(time_of_call, kind, user, known, done))

    def after(self, at: datetime, low: int, high: int) -> datetime:
        """Return a moment of a working day, that many days later."""
        day = at.date() + timedelta(days=self.chance.whole(low, high))
        if day.weekday() >= _SATURDAY and not self.chance.happens(_WEEKEND):
            day += timedelta(days=7 - day.weekday())
        return _working_hours(day, self.chance)


def write_demo(directory: Path) -> DemoSummary:
    """Write the six CSV files of the demo into a directory, made if need be."""
    chance = _Chance(_SEED)
    account = _Account(chance)
    deal_id = _FIRST_DEAL
    day = FIRST_DAY - timedelta(days=_WARM_UP_DAYS)
    while day <= LAST_DAY:
        for _ in range(_new_deals(day, chance)):
            _live(account, deal_id, _working_hours(day, chance))
            deal_id += 1
        day += timedelta(days=1)
    changes = _late_last(
        sorted(
            (c for c in account.changes if FIRST_DAY <= c.at.date() <= LAST_DAY),
            key=lambda c: c.at,
        ),
        chance,
    )
    changes = _as_in_a_richer_account(changes, _Chance(_SEED + 1))
    activities = _late_last(
        sorted((a for a in account.activities if FIRST_DAY <= a.at.date()), key=lambda a: a.at),
        chance,
    )
    tables = _settings(chance) | {
        "activity": _activity_rows(activities, chance),
        "deal_changes": _change_rows(changes),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for table, rows in tables.items():
        _write(directory / f"{table}.csv", rows)
    return DemoSummary(
        rows={table: len(rows) - 1 for table, rows in sorted(tables.items())},
        deals=len({change.deal_id for change in changes}),
        first_day=FIRST_DAY,
        last_day=LAST_DAY,
    )


def _new_deals(day: date, chance: _Chance) -> int:
    expected = _DEALS_PER_WEEKDAY * _SEASON[day.month - 1]
    expected *= 1 + _GROWTH_PER_YEAR * (day - FIRST_DAY).days / 365
    if day.weekday() >= _SATURDAY:
        expected *= _WEEKEND
    spread = expected * 2 * chance.whole(0, 100) / 100
    return int(spread) + chance.happens(spread - int(spread))


def _live(account: _Account, deal_id: int, at: datetime) -> None:
    """Let a deal run its course: created, through the stages, perhaps lost and begun again."""
    chance = account.chance
    account.change(at, deal_id, "add_time", at.isoformat())
    account.change(at, deal_id, "user_id", chance.whole(1, _USERS))
    lost_at = _run_through_stages(account, deal_id, at + timedelta(minutes=1))
    if lost_at and chance.happens(0.06):
        reopened_at = account.after(lost_at, 20, 200)
        account.change(reopened_at, deal_id, "user_id", chance.whole(1, _USERS))
        _run_through_stages(account, deal_id, reopened_at + timedelta(minutes=1))


def _run_through_stages(account: _Account, deal_id: int, at: datetime) -> datetime | None:
    """Move a deal from stage to stage; return when it was lost, if it was."""
    chance = account.chance
    stage = 1
    account.enter(at, deal_id, stage)
    while stage < _LAST_STAGE and at.date() <= LAST_DAY:
        share, low, high = _ADVANCE[stage]
        kind, call_share = _CALLS.get(stage, ("follow_up", 0.08))
        if chance.happens(call_share):
            account.call(account.after(at, 0, low + 2), kind, deal_id)
        at = account.after(at, low, high)
        if not chance.happens(share):
            break
        at = _detour(account, deal_id, stage, at)
        stage += 1
        if stage < _ONBOARDING and chance.happens(0.05):
            stage += 1  # skipped
        account.enter(at, deal_id, stage)
    if stage >= _ONBOARDING or chance.happens(0.12):
        return None  # a customer, or a deal nobody closed
    reason = _DELETED_REASON if chance.happens(0.02) else chance.pick(list(_LOST_REASONS))
    account.change(at, deal_id, "lost_reason", reason)
    return at


def _detour(account: _Account, deal_id: int, stage: int, at: datetime) -> datetime:
    """Send a few deals back a stage, soon or months later, or put them on hold."""
    chance = account.chance
    if stage > 1 and chance.happens(0.09):
        longest = 8 if chance.happens(0.6) else 75
        account.enter(at, deal_id, stage - 1)
        at = account.after(at, 1, longest)
        account.enter(at, deal_id, stage)
        return account.after(at, 1, longest)
    if chance.happens(0.015):
        account.enter(at, deal_id, _ON_HOLD)
        return account.after(at, 10, 60)
    return at


def _as_in_a_richer_account(changes: Iterable[_Change], chance: _Chance) -> list[_Change]:
    """Add what some accounts record: status, value with its currency, and a deal created again.

    From chances of its own, so that what the deals do stays as it is without it.
    """
    recorded: list[_Change] = []
    lost: set[int] = set()
    for change in changes:
        is_begun = change.field_key == "stage_id" and change.value == "1"
        is_offered = change.field_key == "stage_id" and change.value == str(_PROPOSAL)
        if is_begun and change.deal_id in lost and chance.happens(0.5):
            recorded.append(replace(change, field_key="add_time", value=change.at.isoformat()))
        recorded.append(change)
        if (is_begun and chance.happens(0.93)) or (is_offered and chance.happens(0.4)):
            value = _SMALLEST_VALUE * chance.whole(1, 10) * chance.whole(1, 10)
            recorded.append(replace(change, field_key="value", value=str(value)))
            code = "EUR" if change.deal_id % _FOREIGN else "USD"
            recorded.append(replace(change, field_key="currency", value=code))
        if change.field_key == "lost_reason":
            lost.add(change.deal_id)
            recorded.append(replace(change, field_key="status", value="lost"))
        elif is_begun:
            recorded.append(replace(change, field_key="status", value="open"))
        elif change.field_key == "stage_id" and change.value == str(_ONBOARDING):
            recorded.append(replace(change, field_key="status", value="won"))
    return recorded


def _late_last(rows: list[T], chance: _Chance) -> list[T]:
    """Move a few rows to the end of the file, as if they had been exported late."""
    on_time: list[T] = []
    late: list[T] = []
    for row in rows:
        (late if chance.happens(0.003) else on_time).append(row)
    return on_time + late


def _activity_rows(activities: Iterable[_Activity], chance: _Chance) -> list[list[Cell]]:
    columns = ["activity_id", "type", "assigned_to_user", "deal_id", "done", "due_to"]
    rows: list[list[Cell]] = [[column.upper() for column in columns]]
    activity_id = 900001
    for activity in activities:
        if not chance.happens(0.006):  # else two different records share one id
            activity_id += chance.whole(1, 5)
        rows.append(
            [
                activity_id,
                activity.type,
                activity.user_id,
                activity.deal_id,
                "True" if activity.done else "False",
                activity.at.isoformat(),
            ]
        )
    return rows


def _change_rows(changes: Iterable[_Change]) -> list[list[Cell]]:
    rows: list[list[Cell]] = [["deal_id", "change_time", "changed_field_key", "new_value"]]
    for change in changes:
        rows.append([change.deal_id, change.at.isoformat(" "), change.field_key, change.value])
    return rows


def _settings(chance: _Chance) -> dict[str, list[list[Cell]]]:
    """Return the tables that hold the account's settings."""
    activity_types: list[list[Cell]] = [["ID", "NAME", "ACTIVE", "TYPE"]]
    for number, (kind, name) in enumerate(_ACTIVITY_TYPES.items(), start=1):
        activity_types.append([number, name, "No" if kind == "after_close_call" else "Yes", kind])
    stages: list[list[Cell]] = [["stage_id", "stage_name"]]
    for key, name in _STAGES.items():
        stages.append([key, name])
    users: list[list[Cell]] = [["id", "name", "email", "modified"]]
    for number in range(1, _USERS + 1):
        modified = _working_hours(FIRST_DAY + timedelta(days=chance.whole(0, 700)), chance)
        email = f"user{number:02}@example.com"
        users.append([number, f"User {number:02}", email, modified.isoformat()])
    return {
        "activity_types": activity_types,
        "fields": [
            ["ID", "FIELD_KEY", "NAME", "FIELD_VALUE_OPTIONS"],
            [1, "add_time", "Deal created", None],
            [2, "user_id", "User added", None],
            [3, "stage_id", "Stage changed", _options(_STAGES)],
            [4, "lost_reason", "Lost reason", _options(_LOST_REASONS)],
        ],
        "stages": stages,
        "users": users,
    }


def _options(labels: Mapping[int, str]) -> str:
    return json.dumps([{"id": key, "label": label} for key, label in labels.items()])


def _working_hours(day: date, chance: _Chance) -> datetime:
    seconds = chance.whole(8 * 3600, 18 * 3600 - 1)
    return datetime.combine(day, time()) + timedelta(seconds=seconds)


def _write(path: Path, rows: Iterable[Sequence[Cell]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_file(path, text.getvalue().encode())
