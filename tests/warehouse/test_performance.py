"""`funnel doctor --performance` on a real server: it names what makes a run slow, and only that."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from homes import Funnel, running_home

from runner.raw.demo_data import write_demo


@pytest.fixture(scope="module")
def loaded() -> Iterator[Funnel]:
    """A home with raw tables of some size, and nothing built."""
    with running_home() as funnel:
        write_demo(Path(funnel.home) / "export")
        funnel.done("load", str(funnel.home / "export"))
        funnel.query(
            "insert into pipedrive_raw.activity (type, deal_id, done, due_to, _loaded_at)"
            " select 'meeting', n, true, current_date - n * interval '1 minute',"
            " now() - n * interval '1 minute' from generate_series(1, 800000) as n"
        )
        funnel.query("analyze pipedrive_raw.activity")
        yield funnel


def advice(funnel: Funnel, *options: str) -> dict[str, dict[str, Any]]:
    outcome = funnel.done("doctor", "--performance", "--json", *options)
    return {finding["name"]: finding for finding in json.loads(outcome.stdout)["findings"]}


def warnings(funnel: Funnel, *options: str) -> list[str]:
    found = advice(funnel, *options).values()
    return [finding["remedy"] for finding in found if finding["status"] != "ok"]


def test_has_nothing_to_advise_after_a_load(loaded: Funnel) -> None:
    assert warnings(loaded) == []
    detail = advice(loaded)["index on pipedrive_raw.activity (due_to)"]["detail"]
    assert detail.startswith("reads the window through activity_due_to_idx, about ")


@pytest.mark.parametrize("column", ["due_to", "_loaded_at", "deal_id"])
def test_names_the_index_that_is_missing_until_it_is_there(loaded: Funnel, column: str) -> None:
    loaded.query(f"drop index pipedrive_raw.activity_{column}_idx")
    statement = f"create index concurrently on pipedrive_raw.activity ({column});"
    assert warnings(loaded) == [statement]
    name = f"index on pipedrive_raw.activity ({column})"
    assert "through the whole table, for about" in advice(loaded)[name]["detail"]
    said = loaded.done("doctor", "--performance").stdout.splitlines()
    assert said[said.index(next(line for line in said if name in line)) + 1].strip() == statement
    loaded.query(statement)
    assert warnings(loaded) == []


def test_says_when_nobody_has_gathered_statistics(loaded: Funnel) -> None:
    loaded.query("create table pipedrive_raw.copy (like pipedrive_raw.deal_changes including all)")
    loaded.query("alter table pipedrive_raw.deal_changes rename to kept")
    loaded.query("alter table pipedrive_raw.copy rename to deal_changes")
    assert warnings(loaded) == ["analyze pipedrive_raw.deal_changes;"]
    loaded.query("analyze pipedrive_raw.deal_changes")
    assert warnings(loaded) == []


def test_gives_a_month_the_memory_it_takes(loaded: Funnel) -> None:
    found = advice(loaded, "--vars", "{work_mem: 1}")["work_mem"]
    assert found["status"] == "warn"
    assert found["remedy"].startswith("Set the var work_mem to ")
    enough = found["remedy"].split()[5]
    assert warnings(loaded, "--vars", f"{{work_mem: {enough}}}") == []


def test_advises_against_compilation(loaded: Funnel) -> None:
    loaded.query("alter database postgres set jit = on")
    assert warnings(loaded) == ['alter role "postgres" set jit = off;']
    loaded.query("alter role postgres in database postgres set jit = off")
    assert warnings(loaded) == []


def test_says_what_keeps_it_from_looking(empty: Funnel) -> None:
    outcome = empty("doctor", "--performance", "--json")
    assert outcome.returncode == 2
    (finding,) = json.loads(outcome.stdout)["findings"]
    assert finding["detail"] == "there is no schema pipedrive_raw"
