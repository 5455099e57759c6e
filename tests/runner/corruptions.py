"""What goes wrong in a CRM warehouse: one small fault each, and which test has to see it.

`test_corruptions.py` seeds each fault into good data; `python tests/runner/corruptions.py` writes
the table of docs/corruptions.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "corruptions.md"


class Stage(Enum):
    """Where a fault is seeded, and what has to notice it."""

    FILES = "an export, before `funnel load` and `funnel run`"
    SEED = "`seeds/funnel_steps.csv`, before `funnel run`"
    RAW = "the raw tables, before `funnel run`"
    DAILY = "the daily tables, before `funnel run`"
    BUILT = "built tables and views, before `funnel test`"


@dataclass(frozen=True)
class Edit:
    """A change of a CSV file.

    Args:
        file: Its name.
        change: Gets the text, returns what is there instead; bytes where it is no UTF-8.
    """

    file: str
    change: Callable[[str], str | bytes]


@dataclass(frozen=True)
class Corruption:
    """One fault.

    Args:
        name: A few words, unique.
        sentence: What happened, for people.
        stage: Where it is seeded.
        fault: The statements that make it, every table found without its schema; or the edit.
        caught_by: All of these see it: `<test>`, `<generic test>: <table>[.<column>]`, or what
            else stops it (`funnel load: `, `funnel run: ` and the message; `model: `, `freshness: `
            and a name; `constraint: ` and a column). * stands for any text: all tests that match.
        severity: error, which keeps `monthly_stats` as it was, or warn.
    """

    name: str
    sentence: str
    stage: Stage
    fault: str | Edit
    caught_by: tuple[str, ...]
    severity: Literal["error", "warn"] = "error"


def _broken_files() -> list[Corruption]:
    def fault(
        name: str, sentence: str, file: str, change: Callable[[str], str | bytes], message: str
    ) -> Corruption:
        caught_by = (f"funnel load: {message}",)
        return Corruption(name, sentence, Stage.FILES, Edit(file, change), caught_by)

    return [
        fault(
            "truncated file",
            "The export of the deal changes stopped in the middle of a line.",
            "deal_changes.csv",
            lambda text: text[: text.rindex(",stage_id")],
            "deal_changes.csv line * has fewer columns than the header",
        ),
        fault(
            "half a quote",
            "A cell's quote is opened and never closed.",
            "stages.csv",
            lambda text: text.replace("Closing", '"Closing'),
            "stages.csv line * a quote opens here and is never closed",
        ),
    ]


CORRUPTIONS: tuple[Corruption, ...] = (
    *_broken_files(),
    Corruption(
        "step with two names",
        "Two rows of the definition name one step differently.",
        Stage.SEED,
        Edit("funnel_steps.csv", lambda text: text + "stage,Inbound,1,Inbound Leads,1\n"),
        ("assert_every_funnel_step_has_one_definition",),
    ),
    Corruption(
        "null deal ids",
        "The loader lost the deal of a few changes.",
        Stage.RAW,
        """
        update deal_changes set deal_id = null
        where change_time >= '2024-12-02' and change_time < '2024-12-03'
        """,
        ("not_null: deal_changes.deal_id",),
    ),
    Corruption(
        "stale source",
        "The loader has been down for two days.",
        Stage.RAW,
        "update activity set _loaded_at = _loaded_at - interval '2 days'",
        ("freshness: activity",),
    ),
    Corruption(
        "negative count",
        "A count of an old day is below 0.",
        Stage.DAILY,
        "update daily_deal_stats set new_deals_count = -1 where date = '2024-03-05'",
        ("is_count_within: daily_deal_stats.new_deals_count",),
    ),
    Corruption(
        "dropped month",
        "A month was deleted from the report.",
        Stage.BUILT,
        "delete from monthly_stats where month = '2024-03-01'",
        ("assert_monthly_stats_is_the_sum_of_its_branches",),
    ),
    Corruption(
        "monthly off by one",
        "A count of the report is one too high.",
        Stage.BUILT,
        """
        update monthly_stats set deals_count = deals_count + 1
        where month = '2024-03-01' and funnel_step = '4'
        """,
        ("assert_monthly_stats_is_the_sum_of_its_branches",),
    ),
    Corruption(
        "count emptied",
        "Somebody set a count of the report to null.",
        Stage.BUILT,
        "update monthly_stats set deals_count = null where month = '2024-03-01'",
        ("constraint: monthly_stats.deals_count",),
    ),
)


def page() -> str:
    """Return docs/corruptions.md."""
    lines = []
    for stage in Stage:
        lines += ["", f"## Seeded into {stage.value}", "", "| fault | caught by | severity |"]
        lines.append("|---|---|---|")
        lines += [
            f"| **{corruption.name}**: {corruption.sentence} "
            f"| {'<br>'.join(_describe(test) for test in corruption.caught_by)} "
            f"| {corruption.severity} |"
            for corruption in CORRUPTIONS
            if corruption.stage is stage
        ]
    return _INTRODUCTION.format(count=len(CORRUPTIONS)) + "\n".join(lines) + "\n"


def _describe(caught_by: str) -> str:
    kind, separator, target = caught_by.partition(": ")
    return f"`{kind}` {target}" if separator else f"`{kind}`"


_INTRODUCTION = """\
# What the tests catch

{count} faults, each seeded alone into good data.
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
