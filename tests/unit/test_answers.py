"""What is made of Pipedrive's answers, the odd ones among them."""

from datetime import date, datetime, time, timedelta

import pytest

from runner.errors import FunnelError
from runner.extract.answers import (
    Change,
    is_whole,
    merge,
    read_activity,
    read_deal,
    read_field,
    read_flow,
    read_log,
    read_moment,
    read_name,
    read_text,
    understood,
)

NOON = datetime(2024, 5, 1, 12)
DEAL = {
    "id": 7,
    "add_time": "2024-05-01T12:00:00Z",
    "update_time": None,
    "owner_id": {"id": 3, "name": "A"},
    "stage_id": "2",
    "status": "open",
    "lost_reason": {"id": 31, "label": "Price"},
    "value": 100.0,
    "unheard_of": [],
}


def log_row(
    key: str, old: object, new: object, moment: str = "2024-05-01 12:00:00"
) -> dict[str, object]:
    return {"field_key": key, "old_value": old, "new_value": new, "time": moment}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        (" a \0b ", "a b"),
        ("\ud800", "?"),
        (100.0, "100"),
        (2500.5, "2500.5"),
        (0, "0"),
        (True, "true"),
        ({"id": 5, "label": "Price"}, "Price"),
        ({"id": 5, "name": "Price"}, "Price"),
        ({}, None),
    ],
)
def test_a_value_as_text(value: object, text: str | None) -> None:
    assert read_text(value) == text


@pytest.mark.parametrize(
    "value", ["2024-05-01T12:00:00Z", "2024-05-01 12:00:00", "2024-05-01T14:00:00+02:00"]
)
def test_a_moment_is_in_utc(value: str) -> None:
    assert read_moment(value) == NOON
    assert read_moment("") is None


def test_a_name_is_as_long_as_a_name_can_be() -> None:
    assert read_name("x" * 300) == "x" * 255


def test_a_deal() -> None:
    deal = read_deal(DEAL)
    assert deal == (7, NOON, NOON, 3, 2, None, "open", "100", None, "Price", None, None)
    assert read_deal({**DEAL, "is_deleted": True})[6] == "deleted"
    assert read_deal({**DEAL, "status": "deleted"})[6] == "deleted"
    assert read_deal({**DEAL, "status": "on_hold"})[6] == "on_hold"


def test_an_activity() -> None:
    row = {"id": 1, "type": "call", "due_date": "2024-05-01", "due_time": "09:30:00", "done": True}
    assert read_activity(row) == (1, "call", None, None, True, date(2024, 5, 1), time(9, 30))
    all_day = read_activity({**row, "due_time": ""})
    assert all_day == (1, "call", None, None, True, date(2024, 5, 1), None)
    undated = read_activity({"id": 1, "due_date": None, "done": None})
    assert undated == (1, None, None, None, False, None, None)
    assert read_activity({**row, "is_deleted": True}) is None


def test_fields_that_nobody_counts_are_left_out() -> None:
    assert read_field({"field_code": "a" * 40, "field_name": "Secret"}) is None
    options = [{"id": 31, "label": "Price", "color": "red"}]
    row = {"field_code": "lost_reason", "field_name": "Lost reason", "options": options}
    assert read_field(row) == ("lost_reason", "Lost reason", '[{"id": 31, "label": "Price"}]')


def test_a_log_is_oldest_first_each_change_once() -> None:
    newest_first = [
        log_row("stage_id", "3", "4"),
        log_row("stage_id", 2, 3.0),
        log_row("stage_id", "2", "3"),
        log_row("a" * 40, None, "secret"),
        log_row("owner_id", None, {"id": 3}),
        log_row("add_time", None, "2024-05-01 12:00:00"),
    ]
    assert read_log(newest_first) == [
        Change(NOON, "add_time", None, "2024-05-01 12:00:00"),
        Change(NOON, "user_id", None, "3"),
        Change(NOON, "stage_id", "2", "3"),
        Change(NOON, "stage_id", "3", "4"),
    ]


def test_a_flow_adds_what_a_log_lacks() -> None:
    later = "2024-05-02 12:00:00"
    log = read_log([log_row("lost_reason", None, "Price", later)])
    data = [
        {"id": 2, "log_time": later, **log_row("stage_id", 2, 3)},
        {"id": 1, "log_time": "2024-05-01 12:00:00", **log_row("add_time", None, "x")},
    ]
    flow = read_flow([{"object": "dealChange", "data": row} for row in data])
    merged = merge(log, [*flow, *log])
    assert [change.field_key for change in merged] == ["add_time", "stage_id", "lost_reason"]


def test_a_log_is_whole_from_the_creation_to_the_stage_of_today() -> None:
    created = Change(NOON, "add_time", None, "x")
    moved = Change(NOON + timedelta(1), "stage_id", "2", "3")
    assert is_whole([created], 2, NOON)
    assert is_whole([created, moved], 3, NOON)
    assert not is_whole([created, moved], 2, moved.changed_at)
    assert not is_whole([moved], 3, NOON)
    assert not is_whole([], None, NOON)
    # It has moved since it was seen: the log is newer than the list of deals.
    assert is_whole([created, moved], 2, NOON)


def test_an_answer_of_another_shape_is_named() -> None:
    for row in ({}, {"id": "x", "add_time": None}, {"id": 1, "add_time": "yesterday"}):
        with pytest.raises(FunnelError, match="answer for /deals is not"), understood("/deals"):
            read_deal(row)
