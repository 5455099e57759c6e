"""The plan of a run, by a table of cases: plan_cases.csv.

A month is `2024-01`, a span `2024-01..2024-06-14`; `2024-02=3` are three late rows of February,
`2024-03*` a month of which one daily table was counted under another funnel. A daily table is `-`
where it is missing; that of deals is as that of activities where nothing is written.
"""

import csv
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from runner.months.late_rows import LateRows, Watermark
from runner.months.ledger import Ledger
from runner.months.plan import make_plan
from runner.months.state import State
from runner.months.window import Window, days_of, months_between
from runner.warehouse.connection import DAILY_TABLES

Case = dict[str, str]
LOOK = Watermark(datetime(2024, 7, 1, tzinfo=timezone.utc), "")

with (Path(__file__).parent / "plan_cases.csv").open(encoding="utf-8") as file:
    CASES = list(csv.DictReader(file))


def parse_day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def parse_months(text: str) -> list[str]:
    return [
        month
        for span in text.split()
        for first, _, last in [span.partition("..")]
        for month in months_between(
            *(date.fromisoformat(f"{m}-01") for m in (first, last or first))
        )
    ]


def parse_days(text: str) -> set[date]:
    found: set[date] = set()
    for span in text.split():
        first, _, last = span.partition("..")
        begin = date.fromisoformat(f"{first}-01"[:10])
        end = max(days_of(last or first)) if len(last or first) == 7 else date.fromisoformat(last)
        found |= {date.fromordinal(n) for n in range(begin.toordinal(), end.toordinal() + 1)}
    return found


def parse_reasons(text: str) -> dict[str, tuple[str, ...]]:
    parts = (part.split(" ", 1) for part in text.split("; "))
    return {
        month: tuple(reasons.split("+"))
        for months, reasons in parts
        for month in parse_months(months)
    }


def parse_late_rows(text: str) -> Iterator[tuple[str, LateRows]]:
    for item in text.split():
        months, count = item.split("=")
        for month in parse_months(months):
            yield month, LateRows(int(count), min(days_of(month)))


def parse_state(case: Case) -> State:
    cells = dict(
        zip(DAILY_TABLES, (case["activity"], case["deals"] or case["activity"]), strict=True)
    )
    old, half = case["old"].replace("*", ""), case["old"].endswith("*")
    return State(
        built={
            table: parse_days(cell.replace("empty", ""))
            for table, cell in cells.items()
            if cell != "-"
        },
        late_rows=dict(parse_late_rows(case["late"])),
        watermark=LOOK,
        definition="new UTC 7",
        ledger=Ledger(
            definitions={month: {"old", "new"} if half else {"old"} for month in parse_months(old)}
            | {"2000-01": {"new"}},
            deals_known_through=parse_day(case["known_through"]),
            deals_definitions=[each for each in case["deals_definition"].split("; ") if each],
        ),
    )


def test_there_are_enough_cases_and_each_has_its_own_name() -> None:
    assert len({case["case"] for case in CASES}) == len(CASES) >= 80


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_plan(case: Case) -> None:
    window = Window(
        date.fromisoformat(case["source_dt"]),
        int(case["backfill_period"]),
        int(case["months"] or 24),
        reprocess_months=tuple(case["reprocess"].split()),
    )
    plan = make_plan(
        window,
        parse_state(case),
        with_healing="no heal" not in case["options"],
        requested="requested" in case["options"],
        batches_from=parse_day(case["batches_from"]),
    )
    expected = parse_reasons(case["plan"])
    assert plan.reasons == expected
    assert list(plan.months) == sorted(expected)
    assert set(plan.late_rows) == {month for month, why in expected.items() if "late rows" in why}
    assert plan.window.process_through == parse_day(case["process_through"])
    assert plan.window.as_of == parse_day(case["as_of"])
    assert plan.deals_from == parse_day(case["deals_from"])
    assert plan.watermark == (LOOK if case["watermark"] == "yes" else None)
    assert list(plan.outdated_months) == parse_months(case["outdated"])
    # What dbt processes is what the plan says.
    assert (
        plan.window.processed_months(first_build="-" == case["activity"] == case["deals"])
        == plan.months
    )


def test_the_state_after_a_batch_needs_no_second_look() -> None:
    late = {month: LateRows(1, min(days_of(month))) for month in ("2024-01", "2024-05")}
    before = State(
        {}, late, LOOK, "new", Ledger(definitions={"2024-01": {"old"}, "2024-06": {"old"}})
    )
    after = before.counted(("2024-01", "2024-02"), date(2024, 2, 10))
    assert (after.first_day, after.last_day) == (date(2024, 1, 1), date(2024, 2, 10))
    assert after.find_gaps(date(2024, 3, 1)) == ("2024-02",)
    assert after.late_rows.keys() == {"2024-05"}
    assert list(after.outdated_months) == ["2024-06"]
    assert after.watermark == LOOK
    assert before.built == {}
