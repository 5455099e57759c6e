"""The page of measures says what the models say."""

from homes import ROOT

from runner.transform.measures import COMMAND, PAGE, describe_measures


def test_the_page_is_that_of_the_models() -> None:
    written = (ROOT / PAGE).read_text(encoding="utf-8")
    assert written == describe_measures(ROOT), f"{PAGE} is out of date: {COMMAND}"


def test_every_column_has_a_meaning() -> None:
    rows = [line for line in describe_measures(ROOT).splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("|  |") or "{{" in row] == []
