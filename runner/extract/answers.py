"""What Pipedrive answers, made into the rows of the landing tables. Pure: nothing is asked here.

Only what the funnel reads is taken: no title, no note, no custom field, no person or organisation.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time, timezone
from typing import NamedTuple

from runner.extract.api import PathError, Row
from runner.warehouse.raw_contract import LONGEST_NAME

KEYS = (
    *("add_time", "user_id", "stage_id", "pipeline_id"),
    *("status", "value", "currency", "lost_reason"),
)
"""The fields of a deal whose changes are kept."""

_RENAMED = {"owner_id": "user_id"}
_DELETED = "deleted"


class Change(NamedTuple):
    """One change of one field of a deal."""

    changed_at: datetime
    field_key: str
    old_value: str | None
    new_value: str | None


@contextmanager
def understood(path: str) -> Iterator[None]:
    """Turn what does not fit the documentation into an error a person can act on."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PathError(
            f"Pipedrive's answer for {path} is not what its documentation says",
            hint="Run it with --debug and report the traceback.",
        ) from error


def read_text(value: object) -> str | None:
    """Return a value as text: an amount without trailing zeros, an object by what it is called."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("label", "name", "value", "id") if key in value), None)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).lower()
    # Postgres stores neither a NUL nor half of a character.
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode()
    return text.strip() or None


def read_name(value: object) -> str | None:
    """Return a name or a key, as long as one can be."""
    text = read_text(value)
    return text and text[:LONGEST_NAME]


def read_moment(value: object) -> datetime | None:
    """Return a moment in UTC, from `2026-01-31T09:30:00Z` or `2026-01-31 09:30:00`."""
    if not value:
        return None
    moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    if moment.tzinfo:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return moment


def read_deal(row: Row) -> tuple[object, ...]:
    """Return a deal as `pipedrive_landing.deals` has it."""
    added = read_moment(row["add_time"])
    is_deleted = row.get("is_deleted") or row.get("status") == _DELETED
    return (
        int(row["id"]),
        added,
        read_moment(row.get("update_time")) or added,
        _read_id(row.get("owner_id")),
        _read_id(row.get("stage_id")),
        _read_id(row.get("pipeline_id")),
        _DELETED if is_deleted else read_name(row.get("status")),
        read_text(row.get("value")),
        read_name(row.get("currency")),
        read_text(row.get("lost_reason")),
        read_moment(row.get("won_time")),
        read_moment(row.get("lost_time")),
    )


def read_activity(row: Row) -> tuple[object, ...] | None:
    """Return an activity as `pipedrive_landing.activities` has it; None for a deleted one."""
    if row.get("is_deleted"):
        return None
    day, clock = row.get("due_date"), row.get("due_time")
    return (
        int(row["id"]),
        read_name(row.get("type")),
        _read_id(row.get("owner_id")),
        _read_id(row.get("deal_id")),
        bool(row.get("done")),
        date.fromisoformat(str(day)) if day else None,
        time.fromisoformat(str(clock)) if clock else None,
    )


def read_activity_type(row: Row) -> tuple[object, ...]:
    """Return a type of activity as `pipedrive_landing.activity_types` has it."""
    key = read_name(row["key_string"])
    return int(row["id"]), read_name(row.get("name")), bool(row.get("active_flag")), key


def read_stage(row: Row) -> tuple[object, ...]:
    """Return a stage as `pipedrive_landing.stages` has it."""
    return int(row["id"]), read_name(row.get("name")), _read_id(row.get("pipeline_id"))


def read_pipeline(row: Row) -> tuple[object, ...]:
    """Return a pipeline as `pipedrive_landing.pipelines` has it."""
    return int(row["id"]), read_name(row.get("name"))


def read_user(row: Row) -> tuple[object, ...]:
    """Return a user as `pipedrive_landing.users` has it."""
    name, email = read_name(row.get("name")), read_name(row.get("email"))
    return int(row["id"]), name, email, read_moment(row.get("modified"))


def read_field(row: Row) -> tuple[object, ...] | None:
    """Return a field as `pipedrive_landing.fields` has it; None for one that nobody counts."""
    key = _read_key(row["field_code"])
    if key not in KEYS:
        return None
    options = [
        {"id": option["id"], "label": read_name(option["label"])}
        for option in row.get("options") or ()
    ]
    return key, read_name(row.get("field_name")), json.dumps(options) if options else None


def read_log(rows: Iterable[Row]) -> list[Change]:
    """Return the changes of a deal's log, oldest first, each once."""
    return _in_order(
        Change(moment, key, _read_value(key, row["old_value"]), _read_value(key, row["new_value"]))
        for row in rows
        if (key := _read_key(row["field_key"])) in KEYS and (moment := read_moment(row["time"]))
    )


def read_flow(rows: Iterable[Row]) -> list[Change]:
    """Return the changes of a deal's flow, oldest first, each once."""
    changes = [row["data"] for row in rows if row.get("object") == "dealChange"]
    newest_first = sorted(changes, key=lambda row: int(row["id"]), reverse=True)
    return read_log({**row, "time": row["log_time"]} for row in newest_first)


def merge(log: Iterable[Change], flow: Iterable[Change]) -> list[Change]:
    """Return the changes of two sources, oldest first, each once."""
    return sorted(dict.fromkeys((*flow, *log)), key=lambda change: change.changed_at)


def is_whole(changes: Iterable[Change], stage_id: int | None, seen_at: datetime) -> bool:
    """Return whether a log begins with the deal's creation and ends in its stage.

    Args:
        changes: The log, oldest first.
        stage_id: The stage of the deal when it was seen.
        seen_at: Its last change by then. A later move was made since, so the log is the newer one.
    """
    newest = {change.field_key: change for change in changes}
    move = newest.get("stage_id")
    ends_right = move is None or move.new_value == str(stage_id) or move.changed_at > seen_at
    return "add_time" in newest and ends_right


def _in_order(newest_first: Iterable[Change]) -> list[Change]:
    changes = list(dict.fromkeys(newest_first))
    return sorted(reversed(changes), key=lambda change: change.changed_at)


def _read_key(value: object) -> str:
    key = str(value)
    return _RENAMED.get(key, key)


def _read_value(key: str, value: object) -> str | None:
    if key in ("user_id", "stage_id", "pipeline_id"):
        identity = _read_id(value)
        return None if identity is None else str(identity)
    return read_text(value)


def _read_id(value: object) -> int | None:
    if isinstance(value, Mapping):
        value = value.get("id", value.get("value"))
    return None if value in (None, "") else int(float(str(value)))


Reader = Callable[[Row], tuple[object, ...] | None]
