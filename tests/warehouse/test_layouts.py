"""The raw tables from what other loaders land, held against the truth of the account."""

import json
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest
from homes import ROOT, Funnel
from loader_layouts import LOADED_AT, OPTIONS, SCHEMA, WRITERS
from pipedrive import Account, RawChange, text
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from runner.errors import FunnelError
from runner.extract.layouts import Filled, fill_raw_tables
from runner.postgres.server import LocalPostgres
from runner.project import Project

CHANGES = (
    "select deal_id, change_time, changed_field_key, new_value from pipedrive_raw.deal_changes"
)
ACTIVITIES = (
    "select activity_id, type, assigned_to_user, deal_id, done, due_to from pipedrive_raw.activity"
)


@pytest.fixture
def account() -> Account:
    seed = secrets.randbits(32)
    print("seed", seed)
    return Account(seed, deals=200)


@contextmanager
def landing(home: Funnel) -> Iterator[Cursor]:
    with closing(psycopg2.connect(LocalPostgres(home.home).url())) as connection:
        with connection, connection.cursor() as cursor:
            yield cursor


def fill(home: Funnel, layout: str, *, remove_vanished: bool = False, **overrides: str) -> Filled:
    project = Project(ROOT, home.home, overrides={"raw_layout": layout, **overrides})
    with closing(psycopg2.connect(LocalPostgres(home.home).url())) as connection:
        connection.autocommit = True
        home.query("create schema if not exists pipedrive_meta")
        with connection.cursor() as cursor:
            cursor.execute("set timezone = 'Asia/Tokyo'")  # as somebody's server may have
        return fill_raw_tables(connection, project, remove_vanished=remove_vanished)


@pytest.fixture
def home(empty: Funnel) -> Iterator[Funnel]:
    yield empty
    empty.query(f"drop schema if exists {SCHEMA} cascade")


def truth(account: Account, layout: str) -> set[RawChange]:
    """Return the rows of `deal_changes` that a layout can give."""
    deals = [d for d in account.deals.values() if layout == "airbyte" or not d.is_archived]
    return {row for deal in deals for row in deal.truth()}


def assert_recorded(home: Funnel) -> None:
    """Expect the lists too, the time of the load, and that the server knows the tables' sizes."""
    assert home.query("select started_at at time zone 'UTC' from pipedrive_landing.extracts") == [
        (LOADED_AT,)
    ]
    fields = "select field_key, name, field_value_options from pipedrive_raw.fields"
    [(key, name, options)] = home.query(fields)
    assert (key, name, options) == ("lost_reason", "Lost reason", OPTIONS)
    sizes = "select reltuples > 0 from pg_class where oid = 'pipedrive_raw.deal_changes'::regclass"
    assert home.query(sizes) == [(True,)]


def run(home: Funnel, layout: str, *options: str) -> str:
    declared = ("--vars", f"{{raw_layout: {layout}}}")
    run = ("run", "--source-dt", "2024-06-30", "--months", "2", "--no-tests", "--no-freshness")
    return home.done(*run, *declared, *options).stderr


@pytest.mark.long
@pytest.mark.parametrize("layout", ["dlt", "airbyte"])
def test_a_layout_with_all_changes_gives_the_truth(
    home: Funnel, account: Account, layout: str
) -> None:
    # An archived one would not be listed by dlt, deleted or not.
    next(deal for deal in account.deals.values() if not deal.is_archived).is_deleted = True
    with landing(home) as cursor:
        WRITERS[layout](cursor, account)
    assert "Raw tables filled from pipedrive" in run(home, layout)
    found = home.query(CHANGES)
    assert set(found) == truth(account, layout)
    assert len(found) == len(set(found))
    assert set(home.query(ACTIVITIES)) == account.all_activities()
    assert home.query("select count(*) > 0 from pipedrive_reporting.monthly_stats") == [(True,)]
    assert_recorded(home)


@pytest.mark.long
def test_singer_gives_stages_creations_and_the_last_closing(home: Funnel, account: Account) -> None:
    with landing(home) as cursor:
        WRITERS["singer"](cursor, account)
    run(home, "singer")
    found = set(home.query(CHANGES))
    whole = {row for row in truth(account, "singer") if row[2] in ("add_time", "stage_id")}
    assert {row for row in found if row[2] in ("add_time", "stage_id")} == whole
    for deal in account.deals.values():
        if deal.is_archived:
            continue
        own = sorted((row for row in found if row[0] == deal.id), key=lambda row: str(row[1]))
        closings = [row[3] for row in own if row[2] == "status"]
        assert closings[-1] == deal.today["status"]
        owners = [row[3] for row in own if row[2] == "user_id"]
        assert owners == [str(deal.today["user_id"])]
        values = [row[3] for row in own if row[2] == "value"]
        assert values == [text(deal.today["value"])] * (deal.today["value"] is not None)
    assert set(home.query(ACTIVITIES)) == account.all_activities()
    assert_recorded(home)


@pytest.mark.long
@pytest.mark.parametrize("layout", WRITERS)
def test_rows_that_are_as_they_were_are_not_touched(
    home: Funnel, account: Account, layout: str
) -> None:
    deleted = next(deal for deal in account.deals.values() if not deal.is_archived)
    deleted.is_deleted = True
    with landing(home) as cursor:
        WRITERS[layout](cursor, account)
    run(home, layout)  # makes the ledger too
    loaded = f"{CHANGES.replace('select', 'select _loaded_at,')}"
    before = set(home.query(loaded))
    again = fill(home, layout)
    assert (again.added, again.removed) == (0, 0)
    assert set(home.query(loaded)) == before
    deal = next(d for d in account.deals.values() if not (d.is_archived or d.is_deleted))
    deal.change(account.now, stage_id=7 if deal.today["stage_id"] != 7 else 6)
    others = (d for d in account.deals.values() if d not in (deal, deleted))
    gone = next(d for d in others if not d.is_archived)
    gone.is_deleted = True
    with landing(home) as cursor:
        WRITERS[layout](cursor, account)
    changed = fill(home, layout)
    assert changed.added == 1
    assert {row[1] for row in before - set(home.query(loaded))} == {gone.id}
    months = home.query(
        "select count(*) > 0 from pipedrive_meta.run_events where event = 'removed'"
    )
    assert months == [(True,)]


@pytest.mark.long
def test_a_landing_that_lost_much_changes_nothing(home: Funnel, account: Account) -> None:
    with landing(home) as cursor:
        WRITERS["dlt"](cursor, account)
    run(home, "dlt")
    before = home.query(CHANGES)
    with landing(home) as cursor:
        cursor.execute("delete from pipedrive.deals where id > 90")
    with pytest.raises(FunnelError, match="deals are no longer in pipedrive; nothing was changed"):
        fill(home, "dlt")
    assert home.query(CHANGES) == before
    fill(home, "dlt", remove_vanished=True)
    assert {row for row in home.query(CHANGES)} == {row for row in before if int(str(row[0])) <= 90}


@pytest.mark.long
def test_rows_of_another_origin_are_not_written_over(home: Funnel, account: Account) -> None:
    with landing(home) as cursor:
        WRITERS["dlt"](cursor, account)
    with pytest.raises(FunnelError, match="landing_schema and raw_schema are both pipedrive"):
        fill(home, "dlt", raw_schema=SCHEMA)
    with pytest.raises(FunnelError, match="target local does not load into pipedrive_meta"):
        fill(home, "dlt", raw_schema="pipedrive_meta")
    home.query("create schema pipedrive_raw")
    home.query("create table pipedrive_raw.activity as select 1 as activity_id")
    with pytest.raises(FunnelError, match="holds rows that `funnel extract` did not load"):
        fill(home, "dlt")
    home.query("drop schema pipedrive_raw cascade")
    run(home, "dlt")
    with pytest.raises(FunnelError, match="holds the account pipedrive by dlt, not pipedrive by"):
        with landing(home) as cursor:
            WRITERS["singer"](cursor, account)
        fill(home, "singer")


def test_what_does_not_fit_is_one_line(home: Funnel, account: Account) -> None:
    declared = ("--vars", "{raw_layout: dlt}")
    missing = home("run", *declared)
    assert missing.returncode == 2
    assert "schema pipedrive has no table deals_flow_deal_change, deals" in missing.stderr
    doctor = json.loads(home("doctor", "--json", *declared).stdout)["findings"]
    assert {each["name"]: each["status"] for each in doctor}["raw layout"] == "fail"
    with landing(home) as cursor:
        WRITERS["dlt"](cursor, account)
        cursor.execute("alter table pipedrive.stages alter id type text using 'Smith'")
    odd = home("run", *declared)
    assert odd.returncode == 2
    assert "the tables in pipedrive are not as dlt writes them" in odd.stderr
    assert "Smith" not in odd.stderr
    doctor = json.loads(home("doctor", "--json", *declared).stdout)["findings"]
    details = {each["name"]: each["detail"] for each in doctor}
    assert "it does not give: what happened more than a month" in details["raw layout"]
    assert home("run", "--extract", *declared).returncode == 2
    wrong = home("run", "--vars", "{raw_layout: fivetran}")
    assert "must be tables, dlt, singer or airbyte" in wrong.stderr


@pytest.mark.long
def test_a_loader_is_as_fresh_as_its_last_load(home: Funnel, account: Account) -> None:
    with landing(home) as cursor:
        WRITERS["airbyte"](cursor, account)
        cursor.execute("update pipedrive.deal_flow set _airbyte_extracted_at = now()")
    run(home, "airbyte")
    for table in ("activity", "deal_changes"):
        home.query(f"update pipedrive_raw.{table} set _loaded_at = now() - interval '30 days'")
    page = home.home / "report.html"
    declared = ("--vars", "{raw_layout: airbyte}")
    home.done("report", "-o", str(page), *declared)
    assert "Not known to the loader" in page.read_text()
    assert "that an activity was deleted" in page.read_text()
    home.done("freshness")
    home.query("update pipedrive_landing.extracts set started_at = '2024-01-01'")
    home.query("update pipedrive_landing.extracts set complete_until = '2024-01-01'")
    assert home("freshness").returncode == 1
