"""The demo's data set: always the same bytes, and as untidy as a real export."""

import csv
import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.raw.demo_data import DemoSummary, write_demo

FINGERPRINT = "03f4d083941ea96bb88c5fa9769f5ef685e26e936df6c6c8f9d45c9dcd183af4"
FUNNEL = [str(stage) for stage in range(1, 10)]


@dataclass(frozen=True)
class Demo:
    """The files as read back, columns in lower case."""

    directory: Path
    summary: DemoSummary
    tables: dict[str, list[dict[str, str]]]

    @property
    def known_deals(self) -> set[str]:
        return {change["deal_id"] for change in self.tables["deal_changes"]}

    def changes(self, field_key: str) -> list[dict[str, str]]:
        """Return the changes of a field in the order of time."""
        changes = self.tables["deal_changes"]
        return sorted(
            (change for change in changes if change["changed_field_key"] == field_key),
            key=lambda change: change["change_time"],
        )

    def stages_by_deal(self) -> dict[str, list[tuple[str, str]]]:
        """Return each deal's stages with their months, in the order of time."""
        stages = defaultdict(list)
        for change in self.changes("stage_id"):
            stages[change["deal_id"]].append((change["new_value"], change["change_time"][:7]))
        return stages


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    directory = tmp_path_factory.mktemp("demo") / "made"
    summary = write_demo(directory)
    tables = {}
    for path in directory.iterdir():
        with path.open(encoding="utf-8", newline="") as file:
            tables[path.stem] = [
                {name.lower(): value for name, value in row.items()} for row in csv.DictReader(file)
            ]
    return Demo(directory, summary, tables)


def test_writes_the_same_bytes_everywhere(demo: Demo, tmp_path: Path) -> None:
    write_demo(tmp_path)
    first = {path.name: path.read_bytes() for path in sorted(demo.directory.iterdir())}
    assert first == {path.name: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    assert hashlib.sha256(b"".join(first.values())).hexdigest() == FINGERPRINT


def test_says_what_it_wrote(demo: Demo) -> None:
    assert demo.summary.rows == {table: len(rows) for table, rows in demo.tables.items()}
    assert demo.summary.deals == len(demo.known_deals)
    assert 2500 < demo.summary.deals < 3500


def test_fills_two_years(demo: Demo) -> None:
    days = sorted(change["change_time"][:10] for change in demo.tables["deal_changes"])
    assert (days[0][:7], days[-1][:7]) == ("2023-01", "2024-12")
    assert demo.summary.first_day.isoformat() <= days[0]
    assert days[-1] <= demo.summary.last_day.isoformat()


def test_the_funnel_shrinks_and_the_business_grows(demo: Demo) -> None:
    deals = defaultdict(set)
    for change in demo.changes("stage_id"):
        deals[change["new_value"], change["change_time"][:4]].add(change["deal_id"])
    for year in ("2023", "2024"):
        sizes = [len(deals[stage, year]) for stage in FUNNEL]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] > 50
    assert len(deals["1", "2024"]) > 1.2 * len(deals["1", "2023"])


def test_every_month_has_every_step(demo: Demo) -> None:
    months = defaultdict(set)
    for change in demo.changes("stage_id"):
        months[change["new_value"]].add(change["change_time"][:7])
    for activity in demo.tables["activity"]:
        months[activity["type"]].add(activity["due_to"][:7])
    for step in (*FUNNEL, "meeting", "sc_2"):
        assert len({month for month in months[step] if month < "2025"}) == 24


def test_is_spelled_as_real_exports_are(demo: Demo) -> None:
    headers = {path.stem: path.read_text().split("\n")[0] for path in demo.directory.iterdir()}
    assert {header.isupper() for header in headers.values()} == {True, False}
    assert {activity["done"] for activity in demo.tables["activity"]} == {"True", "False"}
    assert all("T" in activity["due_to"] for activity in demo.tables["activity"])
    assert not any("T" in change["change_time"] for change in demo.tables["deal_changes"])
    names = [stage["stage_name"] for stage in demo.tables["stages"]]
    assert "Qualified lead" in names
    assert "On Hold" in names


def test_deals_skip_stages_go_back_and_live_twice(demo: Demo) -> None:
    seen: Counter[str] = Counter()
    for stages in demo.stages_by_deal().values():
        visits = Counter(stages)
        seen["again in the month"] += any(count > 1 for count in visits.values())
        seen["again in another month"] += len({stage for stage, _ in visits}) < len(visits)
        steps = [int(stage) for stage, _ in stages if stage != "10"]
        pairs = list(zip(steps, steps[1:], strict=False))
        seen["skips"] += any(later == earlier + 2 for earlier, later in pairs)
        seen["goes back"] += any(later == earlier - 1 for earlier, later in pairs)
        seen["on hold"] += "10" in dict(stages)
    lost = {
        change["deal_id"]: change["change_time"] for change in demo.changes("lost_reason")[::-1]
    }
    begun = {change["deal_id"]: change["change_time"] for change in demo.changes("stage_id")}
    seen["two lives"] = sum(begun[deal] > time for deal, time in lost.items() if deal in begun)
    assert all(count >= 10 for count in seen.values()), seen


def test_lost_reasons_are_options_but_a_few(demo: Demo) -> None:
    options = {
        row["field_key"]: {option["id"] for option in json.loads(row["field_value_options"])}
        for row in demo.tables["fields"]
        if row["field_value_options"]
    }
    assert 6 <= len(options["lost_reason"]) <= 8
    reasons = [int(change["new_value"]) for change in demo.changes("lost_reason")]
    unknown = [reason for reason in reasons if reason not in options["lost_reason"]]
    assert 5 <= len(unknown) < 0.05 * len(reasons)
    assert options["stage_id"] == {int(stage["stage_id"]) for stage in demo.tables["stages"]}


def test_activities_are_as_untidy_as_real_ones(demo: Demo) -> None:
    activities = demo.tables["activity"]
    known_deals = demo.known_deals
    deals = [activity["deal_id"] for activity in activities]
    ids = [activity["activity_id"] for activity in activities]
    future = [activity for activity in activities if activity["due_to"] > "2025"]
    orphans = [deal for deal in deals if deal and deal not in known_deals]
    assert len(orphans) > 0.2 * len(activities)
    assert 5 <= deals.count("") < 0.02 * len(activities)
    assert 5 <= len(ids) - len(set(ids)) < 0.02 * len(activities)
    assert len({tuple(activity.items()) for activity in activities}) == len(activities)
    assert sum(activity["done"] == "False" for activity in activities) > 100
    assert {activity["done"] for activity in future} == {"True", "False"}
    assert {activity["type"] for activity in activities} == {
        row["type"] for row in demo.tables["activity_types"]
    }


@pytest.mark.parametrize(
    ("table", "column"), [("activity", "due_to"), ("deal_changes", "change_time")]
)
def test_late_rows_come_last(demo: Demo, table: str, column: str) -> None:
    times = [row[column] for row in demo.tables[table]]
    end_of_order = times.index(max(times))
    late = times[end_of_order + 1 :]
    assert times[: end_of_order + 1] == sorted(times[: end_of_order + 1])
    assert 5 <= len(late) < 0.01 * len(times)
    assert min(late) < "2023-07"


def test_owners_change_and_users_are_invented_by_number(demo: Demo) -> None:
    owners = Counter(change["deal_id"] for change in demo.changes("user_id"))
    assert max(owners.values()) > 1
    users = {user["id"] for user in demo.tables["users"]}
    assert {change["new_value"] for change in demo.changes("user_id")} == users
    assert all(user["email"].endswith("@example.com") for user in demo.tables["users"])
