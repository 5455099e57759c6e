"""`funnel extract` against a server that answers as Pipedrive does, and a real Postgres."""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from csv import DictReader
from dataclasses import replace
from datetime import date, datetime, timedelta

import oracle
import psycopg2
import pytest
from homes import ROOT, Funnel, ask
from pipedrive import (
    API_TOKEN,
    CUSTOM_FIELD,
    STAGES,
    TYPES,
    Account,
    Activity,
    Server,
    serve,
    show_deal,
)
from servers import TcpPostgres

from runner.extract import api
from runner.postgres.installation import clean_environment, find_binaries
from runner.postgres.server import LocalPostgres

CHANGES = (
    "select deal_id, change_time, changed_field_key, new_value from pipedrive_raw.deal_changes"
)
ACTIVITIES = (
    "select activity_id, type, assigned_to_user, deal_id, done, due_to from pipedrive_raw.activity"
)
QUICK = ("--burst", "500")


@pytest.fixture
def server() -> Iterator[Server]:
    seed = secrets.randbits(32)
    print("seed", seed)
    with serve(Account(seed, deals=40)) as running:
        yield running


@pytest.fixture
def home(empty: Funnel, server: Server, monkeypatch: pytest.MonkeyPatch) -> Funnel:
    """A home whose environment names the account of the server."""
    monkeypatch.setattr(api, "_PAUSE", 0.001)
    return replace(empty, environment=server.environment)


def extract(home: Funnel, *options: str) -> dict[str, int]:
    printed = home.done("extract", "--json", *QUICK, *options).stdout
    summary: dict[str, int] = json.loads(printed)
    return summary


def assert_true(home: Funnel, account: Account) -> None:
    """Expect that the raw tables hold what the account holds, and nothing twice."""
    found = home.query(CHANGES)
    assert set(found) == account.changes()
    assert len(found) == len(set(found))
    activities = home.query(ACTIVITIES)
    assert set(activities) == account.all_activities()
    assert len(activities) == len(set(activities))


def load_times(home: Funnel) -> dict[object, object]:
    changes = home.query(f"{CHANGES.replace('select', 'select _loaded_at,')}")
    activities = home.query(f"{ACTIVITIES.replace('select', 'select _loaded_at,')}")
    return {row: loaded_at for loaded_at, *rest in (*changes, *activities) for row in [tuple(rest)]}


@pytest.mark.long
def test_what_an_extract_has_looked_at_is_fresh(home: Funnel) -> None:
    extract(home)
    for table in ("activity", "deal_changes"):
        home.query(f"update pipedrive_raw.{table} set _loaded_at = now() - interval '30 days'")
    home.done("freshness")
    home.query("update pipedrive_landing.extracts set complete_until = '2024-01-01'")
    stale = home("freshness")
    assert stale.returncode == 1
    assert "deal_changes" in stale.stdout
    home.query("update pipedrive_landing.extracts set complete_until = now(), raw_schema = 'other'")
    assert home("freshness").returncode == 1


def test_no_server_and_no_program_gets_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPEDRIVE_API_TOKEN", API_TOKEN)
    assert API_TOKEN not in clean_environment().values()


def test_raw_tables_that_another_loader_has_filled_are_refused_later_too(home: Funnel) -> None:
    home.query("create schema if not exists pipedrive_raw")
    extract(home, "--vars", "{raw_schema: trial_raw}")
    home.query(
        "create table pipedrive_raw.activity as"
        " select * from trial_raw.activity; delete from trial_raw.activity"
    )
    refused = home("extract", *QUICK)
    assert refused.returncode == 2
    assert "pipedrive_raw.activity holds rows" in refused.stderr


def test_a_first_extract_brings_all_that_happened(home: Funnel, server: Server) -> None:
    account = server.account
    account.add_long_deal(101, 700, is_cut=False)
    account.add_long_deal(102, 700, is_cut=True)
    account.add_long_deal(103, 600, is_cut=True)
    account.deals[5].is_deleted = True
    summary = extract(home)
    assert_true(home, account)
    assert server.refused == 0
    assert summary["waiting_deals"] == summary["unproven_deals"] == 0
    assert server.asked["flow"] == 4  # only of the logs that were cut, in two pages
    stages = home.query("select count(*), count(pipeline_id) from pipedrive_raw.stages")
    assert stages == [(9, 9)]
    assert home.query("select name from pipedrive_raw.pipelines order by 1") == [
        ("Renewals",),
        ("Sales",),
    ]
    fields = home.query("select field_key, field_value_options from pipedrive_raw.fields")
    assert [key for key, _ in fields] == ["lost_reason"]


def test_a_second_extract_changes_nothing_and_costs_the_sweep(home: Funnel, server: Server) -> None:
    extract(home)
    before = load_times(home)
    server.asked.clear()
    summary = extract(home)
    assert (summary["added"], summary["removed"]) == (0, 0)
    assert load_times(home) == before
    assert server.asked["changelog"] == 0


def test_changed_deals_leave_all_other_rows_as_they_are(home: Funnel, server: Server) -> None:
    extract(home)
    before = load_times(home)
    server.asked.clear()
    server.account.change_deals(20)
    extract(home)
    assert_true(home, server.account)
    assert server.asked["changelog"] == 20
    after = load_times(home)
    assert {row: after.get(row) for row in before} == before


def test_what_is_deleted_or_changed_stops_counting(home: Funnel, server: Server) -> None:
    account = server.account
    for number, deal in account.deals.items():
        deal.is_archived = number in (6, 7)
    extract(home)
    account.deals[3].is_deleted = True  # says so for 30 days
    account.deals[4].is_deleted = account.deals[4].is_forgotten = True
    del account.activities[1]
    account.retype(2, done=not account.activities[2].done)
    account.deals[6].is_archived = False
    account.deals[8].is_archived = True
    extract(home)
    assert_true(home, account)
    assert not {3, 4} & {deal for deal, *_ in home.query(CHANGES)}
    removed = home.query("select count(*) from pipedrive_meta.run_events where event = 'removed'")
    again = extract(home)
    assert (again["added"], again["removed"]) == (0, 0)  # else their months are late every night
    assert removed == home.query(
        "select count(*) from pipedrive_meta.run_events where event = 'removed'"
    )
    account.deals[3].is_deleted = False
    extract(home)
    assert_true(home, account)


def test_a_deal_in_two_pipelines_re_opened_and_of_a_status_unheard_of(
    home: Funnel, server: Server
) -> None:
    account = server.account
    account.change_deals(5)
    deal = account.add_long_deal(101, 1, is_cut=False)
    changes: list[dict[str, object]] = [
        {"stage_id": 11, "pipeline_id": 2},
        {"status": "lost", "lost_reason": "Too slow"},
        {"status": "open", "lost_reason": None},
        {"stage_id": 1, "pipeline_id": 1},
        {"status": "on_hold"},
    ]
    for hour, change in enumerate(changes, start=1):
        deal.change(account.now + timedelta(hours=hour), **change)
    extract(home)
    assert_true(home, account)
    rows = home.query(f"{CHANGES} where deal_id = 101 order by 2, 3")
    moves = [(key, value) for _, moment, key, value in rows if str(moment) > str(account.now)]
    assert moves == [
        *(("pipeline_id", "2"), ("stage_id", "11")),
        *(("lost_reason", "Too slow"), ("status", "lost")),
        *(("lost_reason", None), ("status", "open")),
        *(("pipeline_id", "1"), ("stage_id", "1"), ("status", "on_hold")),
    ]


def test_a_merged_deal_leaves_and_its_target_keeps_its_own(home: Funnel, server: Server) -> None:
    account = server.account
    extract(home)
    account.merge(account.deals[3], account.deals[4])
    extract(home)
    assert_true(home, account)
    account.deals[3].is_forgotten = True  # 30 days later
    extract(home)
    assert_true(home, account)
    assert home.query(f"{CHANGES} where deal_id = 3") == []


def test_the_sweep_of_a_dry_run_writes_nothing(home: Funnel, server: Server) -> None:
    summary = extract(home, "--dry-run")
    assert summary["waiting_deals"] == len(server.account.deals)
    assert server.asked["changelog"] == 0
    schemas = "select nspname from pg_namespace where nspname ~ '^pipedrive'"
    assert home.query(schemas) == []
    extract(home)
    server.account.change_deals(3)
    assert extract(home, "--dry-run")["waiting_deals"] == 3


def test_the_pace_stays_below_the_limit(home: Funnel, server: Server) -> None:
    server.burst = 20
    home.done("extract", "--burst", "20")
    assert server.refused == 0
    assert_true(home, server.account)


def test_answers_that_fail_now_and_then_are_asked_for_again(home: Funnel, server: Server) -> None:
    server.faults = {
        "/api/v2/deals": [(500, "{}"), (200, "null"), (502, "<html>")],
        "/api/v2/activities": [(200, ""), (503, ""), (200, '{"success": true, "data": null}')],
        "/api/v1/users": [(200, '{"success": true, "data": null}')],
        "/api/v1/deals/7/changelog": [(429, "{}"), (200, "null")],
    }
    summary = extract(home)
    assert summary["waiting_deals"] == 0
    assert set(home.query(ACTIVITIES)) == server.account.all_activities()
    assert home.query("select count(*) from pipedrive_raw.users") == [(4,)]
    extract(home)
    assert_true(home, server.account)


def test_the_budget_ends_and_the_next_extract_goes_on(home: Funnel, server: Server) -> None:
    account = server.account
    waiting = [extract(home, "--max-tokens", "400")["waiting_deals"] for _ in range(3)]
    assert waiting == sorted(waiting, reverse=True)
    assert len(set(waiting)) == 3
    newest = sorted(account.deals.values(), key=lambda deal: (deal.updated, deal.id))[waiting[-1] :]
    assert {deal for deal, *_ in home.query(CHANGES)} == {deal.id for deal in newest}
    assert extract(home, "--max-tokens", "20")["is_swept"] is False
    stopped = home.done("extract", *QUICK, "--max-tokens", "20").stdout
    assert "nothing was written, and everything is left to do" in stopped
    server.budget = 600  # of which half may be spent
    assert 0 < extract(home)["tokens"] <= 302
    server.budget = 0
    assert extract(home, "--max-tokens", "9999")["is_swept"] is False
    server.budget = None
    extract(home)
    assert_true(home, account)


FAILURES = {
    "a wrong token": (
        {"PIPEDRIVE_API_TOKEN": "wrong"},
        {},
        "Pipedrive does not accept the token for company sandbox",
    ),
    "another company": (
        {"PIPEDRIVE_COMPANY": "other"},
        {},
        "the token is for company sandbox, not other",
    ),
    "no token": ({"PIPEDRIVE_API_TOKEN": ""}, {}, "PIPEDRIVE_API_TOKEN is not set"),
    "two tokens": ({"PIPEDRIVE_ACCESS_TOKEN": "x"}, {}, "are both set"),
    "a token with a line feed": (
        {"PIPEDRIVE_API_TOKEN": "secret\nsecret"},
        {},
        "PIPEDRIVE_API_TOKEN holds a character that no token has",
    ),
    "no company": ({"PIPEDRIVE_COMPANY": ""}, {}, "PIPEDRIVE_COMPANY is not set"),
    "a company that is an address": (
        {"PIPEDRIVE_COMPANY": "example.org/#"},
        {},
        "PIPEDRIVE_COMPANY is not the name of a company",
    ),
    "http": (
        {"PIPEDRIVE_API_URL": "http://example.org"},
        {},
        "PIPEDRIVE_API_URL is not an https address",
    ),
    "nobody there": (
        {"PIPEDRIVE_API_URL": "http://127.0.0.1:1"},
        {},
        "Pipedrive could not be reached 6 times for /api/v1/users/me",
    ),
    "no permission": (
        {},
        {"/api/v1/users": [(403, '{"success":false}')]},
        "the token may not read /api/v1/users",
    ),
    "blocked": (
        {},
        {"/api/v2/deals": [(403, "<html>blocked</html>")]},
        "Pipedrive blocks this address for now",
    ),
    "moved": ({}, {"/api/v2/deals": [(302, "{}")]}, "Pipedrive answered 302 for /api/v2/deals"),
    "an answer of another shape": (
        {},
        {"/api/v2/stages": [(200, '{"data": [{"number": 1}]}')]},
        "Pipedrive's answer for /api/v2/stages is not what its documentation says",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_line(home: Funnel, server: Server, name: str) -> None:
    environment, faults, message = FAILURES[name]
    server.faults = {path: list(answers) for path, answers in faults.items()}
    broken = replace(home, environment={**home.environment, **environment})
    outcome = broken("extract", *QUICK)
    assert outcome.returncode == 2
    last = outcome.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last
    said = outcome.stdout + broken("extract", *QUICK, "--debug").stderr + outcome.stderr
    assert API_TOKEN not in said
    assert "secret" not in said
    assert not any(API_TOKEN in url for url in server.urls)


def test_an_oauth_token_is_a_bearer(home: Funnel, server: Server) -> None:
    variables = {**home.environment, "PIPEDRIVE_ACCESS_TOKEN": API_TOKEN, "PIPEDRIVE_API_TOKEN": ""}
    extract(replace(home, environment=variables))
    assert_true(home, server.account)


def path_of_log(deal_id: int) -> str:
    return f"/api/v1/deals/{deal_id}/changelog"


DEAL_FAILURES = {
    "a server error": ([(500, "")] * 6, "answered 500 without content 6 times for"),
    "null instead of rows": (
        [(200, '{"success": true, "data": null}')] * 6,
        "answered 200 without content 6 times for",
    ),
    "no permission": ([(403, '{"success": false}')], "the token may not read"),
    "no log": ([(404, "{}")], "Pipedrive lists deal"),
    "another shape": ([(200, '{"success": true, "data": [1]}')], "is not what its documentation"),
}


@pytest.mark.parametrize("name", DEAL_FAILURES)
def test_a_deal_that_cannot_be_read_is_named_and_holds_up_no_other(
    home: Funnel, server: Server, name: str
) -> None:
    answers, message = DEAL_FAILURES[name]
    newest = max(server.account.deals.values(), key=lambda deal: (deal.updated, deal.id))
    server.faults = {path_of_log(newest.id): list(answers)}
    outcome = home("extract", *QUICK)
    assert outcome.returncode == 1
    last = outcome.stderr.strip().splitlines()[-1]
    assert "The history of 1 deal could not be read because" in last
    assert message in last
    assert {deal for deal, *_ in home.query(CHANGES)} == {*server.account.deals} - {newest.id}
    server.asked.clear()
    assert extract(home)["failed_deals"] == 0
    assert server.asked["changelog"] == 1
    assert_true(home, server.account)


def test_a_deal_that_never_can_be_read_is_asked_for_three_times_then_once_a_week(
    home: Funnel, server: Server
) -> None:
    def run(*options: str) -> tuple[int, dict[str, object]]:
        server.asked.clear()
        server.faults = {path_of_log(deal.id): [(403, '{"success": false}')] * 9}
        printed = home("extract", "--json", *QUICK, *options)
        summary: dict[str, object] = json.loads(printed.stdout)
        asked = server.asked["changelog"] + 9 - len(server.faults[path_of_log(deal.id)])
        assert (
            summary.get("complete_from", printed) is None
        )  # all others are known, and it is named
        assert summary["unread_deals"] == [deal.id]
        return printed.returncode, {**summary, "asked": asked}

    others = len(server.account.deals) - 1
    deal = min(server.account.deals.values(), key=lambda deal: (deal.updated, deal.id))
    assert [(code, seen["asked"]) for code, seen in (run(), run(), run())] == [
        (1, others + 1),
        (1, 1),
        (1, 1),
    ]
    sweep = 2 + 5 + 5 + 10 + 10 + 20 + 10 + 20 + 20
    code, quiet = run()
    assert (code, quiet["asked"], quiet["tokens"]) == (0, 0, sweep)
    said = home.done("extract", *QUICK).stdout
    assert "without 1 deal that could not be read" in said
    assert f"Not read: {deal.id}." in said
    assert extract(home, "--dry-run")["waiting_deals"] == 0
    home.query("update pipedrive_landing.failed_deals set failed_at = now() - interval '8 days'")
    assert extract(home, "--dry-run")["waiting_deals"] == 1
    assert (run()[1]["asked"], run()[1]["asked"]) == (1, 0)
    deal.change(server.account.now, value=12)
    assert [run()[1]["asked"] for _ in range(4)] == [1, 1, 1, 0]
    deal.change(server.account.now + timedelta(hours=1), value=13)
    server.faults = {}
    assert "Not read" not in home.done("extract", *QUICK).stdout
    assert home.query("select * from pipedrive_landing.failed_deals") == []
    assert_true(home, server.account)


def test_deals_that_could_not_be_read_before_neither_stop_an_extract_nor_cost_many_tokens(
    home: Funnel, server: Server
) -> None:
    deals = sorted(server.account.deals.values(), key=lambda deal: (deal.updated, deal.id))
    paths = [path_of_log(deal.id) for deal in deals[-12:]]

    def refuse_the_newest() -> tuple[int, int]:
        server.faults = {path: [(403, '{"success": false}')] for path in paths}
        outcome = home("extract", *QUICK)
        return outcome.returncode, sum(not left for left in server.faults.values())

    # Nothing can be read, it seems after five. Those come last from then on, and each three times.
    nights = [refuse_the_newest() for _ in range(8)]
    assert nights == [(2, 5), (2, 5), (1, 7), (1, 5), (1, 5), (1, 5), (1, 4), (0, 0)]
    assert {deal for deal, *_ in home.query(CHANGES)} == {deal.id for deal in deals[:-12]}
    said = home.done("extract", *QUICK).stdout
    assert ", of 12." in said
    assert "without 12 deals that could not be read" in " ".join(home.done("status").stdout.split())


def test_a_deal_that_is_deleted_during_the_extract_is_no_failure(
    home: Funnel, server: Server
) -> None:
    server.gone_meanwhile = {7}
    summary = extract(home)
    assert (summary["waiting_deals"], summary["failed_deals"]) == (1, 0)
    server.gone_meanwhile = set()
    server.account.deals[7].is_deleted = True
    assert extract(home)["waiting_deals"] == 0
    assert_true(home, server.account)


def test_a_log_that_is_too_slow_holds_up_no_other(
    home: Funnel, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_TIMEOUT", (5, 0.3))
    monkeypatch.setattr(api, "_ATTEMPTS", 2)
    newest = max(server.account.deals.values(), key=lambda deal: (deal.updated, deal.id))
    server.slow = {path_of_log(newest.id)}
    outcome = home("extract", *QUICK)
    assert outcome.returncode == 1
    assert "did not answer in time 2 times" in outcome.stderr
    server.slow = set()
    extract(home)
    assert_true(home, server.account)


def test_where_no_deal_can_be_read_it_stops_early_and_keeps_what_was_read(
    home: Funnel, server: Server
) -> None:
    deals = sorted(server.account.deals.values(), key=lambda deal: (deal.updated, deal.id))
    oldest = [deal.id for deal in deals[:7]]
    server.faults = {path_of_log(deal): [(503, "")] * 6 for deal in oldest}
    outcome = home("extract", *QUICK)
    assert outcome.returncode == 2
    assert "answered 503 without content 6 times for" in outcome.stderr
    assert {deal for deal, *_ in home.query(CHANGES)} == {*server.account.deals} - {*oldest}
    assert sum(map(bool, server.faults.values())) == 2  # the sixth and seventh were not asked for
    server.faults = {}
    extract(home)
    assert_true(home, server.account)


def test_a_deal_that_moves_during_the_extract_costs_no_flow(home: Funnel, server: Server) -> None:
    account = server.account
    deal = account.deals[1]
    account.now += timedelta(days=1)
    seen = show_deal(deal)
    server.as_listed = {1: seen}  # the list was read before the deal moved
    deal.change(account.now, stage_id=5 if deal.today["stage_id"] != 5 else 6)
    assert extract(home)["unproven_deals"] == 0
    assert server.asked["flow"] == 0
    server.as_listed = {}
    extract(home)
    assert_true(home, account)


def test_what_vanishes_in_great_number_is_kept_until_somebody_says_so(
    home: Funnel, server: Server
) -> None:
    account = server.account
    for deal_id in range(41, 301):
        account.add_deal(deal_id)
    extract(home)
    before = load_times(home)
    hidden = range(1, 100)  # of a user whom the token may not see any more
    for deal_id in hidden:
        account.deals[deal_id].is_deleted = account.deals[deal_id].is_forgotten = True
    outcome = home.done("extract", *QUICK)
    assert "99 deals and activities are no longer visible" in outcome.stdout
    assert load_times(home) == before
    extract(home, "--remove-vanished")
    assert_true(home, account)
    assert not {*hidden} & {deal for deal, *_ in home.query(CHANGES)}
    account.activities = {key: account.activities[key] for key in list(account.activities)[:60]}
    assert extract(home)["vanished_rows"] == 60
    extract(home, "--remove-vanished")
    assert_true(home, account)


def test_history_since_a_day_is_whole_from_then_on(home: Funnel, server: Server) -> None:
    account = server.account
    since = datetime(2024, 4, 1)
    recent = {deal.id for deal in account.deals.values() if deal.updated >= since}
    assert 0 < len(recent) < len(account.deals)
    assert extract(home, "--dry-run", "--since", "2024-04-01")["waiting_deals"] == len(recent)
    summary = extract(home, "--since", "2024-04-01")
    assert {deal for deal, *_ in home.query(CHANGES)} == recent
    later = {row for row in home.query(CHANGES) if str(row[1]) >= str(since)}
    assert later == {row for row in account.changes() if row[1] >= since}
    complete_from = datetime.fromisoformat(str(summary["complete_from"])).replace(tzinfo=None)
    oldest = max(d.updated for d in account.deals.values() if d.id not in recent)
    assert complete_from == oldest
    home.done("freshness")
    assert extract(home)["complete_from"] is None
    assert_true(home, account)


def test_a_lost_database_is_one_line_and_what_was_written_is_kept(
    home: Funnel, server: Server
) -> None:
    sessions = "select pg_terminate_backend(pid) from pg_stat_activity where application_name"
    server.delay = 0.01

    def end_sessions() -> None:
        deadline = time.monotonic() + 60
        while server.asked["changelog"] < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        home.query(f"{sessions} in ('funnel', 'funnel extract')")

    thread = threading.Thread(target=end_sessions)
    thread.start()
    outcome = home("extract", *QUICK)
    thread.join()
    assert outcome.returncode == 2
    assert outcome.stderr.splitlines()[-1].startswith("Error: the connection to local was lost")
    assert set(home.query(ACTIVITIES)) == server.account.all_activities()
    server.delay = 0
    extract(home)
    assert_true(home, server.account)


def test_a_log_that_cannot_be_proven_is_counted_and_named(home: Funnel, server: Server) -> None:
    deal = server.account.deals[1]
    deal.log.append((deal.updated, "stage_id", 1, 99))  # but the deal is in another stage
    assert extract(home)["unproven_deals"] == 1
    assert server.asked["flow"] == 1
    assert (1, deal.updated, "stage_id", "99") in home.query(CHANGES)
    said = home.done("extract", *QUICK).stdout
    assert "Pipedrive gives no complete history of 1 deal." in said


def test_a_probe_compares_log_and_flow_and_shows_no_value(home: Funnel, server: Server) -> None:
    account = server.account
    account.add_long_deal(101, 600, is_cut=True)
    account.add_long_deal(102, 3, is_cut=False)
    account.deals[102].change(account.now, status="lost", lost_reason="Too slow")
    account.deals[102].log.append((account.now, CUSTOM_FIELD, None, "secret"))
    account.deals[3].is_archived = True
    cut = json.loads(home.done("extract", "--probe", "101", "--json").stdout)
    assert cut["is_whole"]
    assert cut["probe"]["log"] == "500 rows in 1 page of 500"
    assert cut["probe"]["log, whole"] == "no: the creation is missing"
    assert cut["probe"]["both, whole"].startswith("yes")
    whole = json.loads(home.done("extract", "--probe", "102", "--json").stdout)["probe"]
    assert whole == {
        "deal": "in /api/v2/deals, status lost, lost_reason is text",
        "log": "9 rows in 1 page of 500",
        "log, kept": "add_time 1, lost_reason 1, status 1, value 3",
        "log, twice": "2 rows",
        "log, owner": "nothing",
        "log, lost reason": "text",
        "log, whole": "yes: from the creation to the stage of today",
        "flow": "6 rows",
        "flow, kept": "add_time 1, status 1, value 3",
        "only in the log": "lost_reason 1",
        "only in the flow": "nothing",
        "both, whole": "yes: from the creation to the stage of today",
        "limits": "x-ratelimit-reset 2",
        "cost": "3 requests, 70 tokens",
    }
    account.add_long_deal(105, 0, is_cut=False).change(account.now, user_id=9, status="private")
    odd = json.loads(home.done("extract", "--probe", "105", "--json").stdout)["probe"]
    assert (odd["log, owner"], odd["log, twice"]) == ("owner_id", "1 row")
    account.deals[105].log.append((account.now, "stage_id", 1, 99))
    odd = json.loads(home.done("extract", "--probe", "105", "--json").stdout)["probe"]
    assert odd["both, whole"] == "no: it does not end in the stage of today"
    assert "status of another name" in odd["deal"]
    archived = home.done("extract", "--probe", "3").stdout
    assert "/api/v2/deals/archived" in archived
    for shown in (str(whole), archived):
        assert not any(word in shown for word in ("Too slow", "secret", "private", CUSTOM_FIELD))
    unknown = home("extract", "--probe", "999")
    assert unknown.returncode == 2
    assert "Pipedrive knows no deal 999" in unknown.stderr
    schemas = "select nspname from pg_namespace where nspname ~ '^pipedrive'"
    assert home.query(schemas) == []


RUN = ("run", "--source-dt", "2024-06-30", "--months", "2", "--no-tests")


@pytest.mark.long
def test_a_run_reads_the_account_first_under_one_lock(home: Funnel, server: Server) -> None:
    deal = max(server.account.deals)
    server.faults = {path_of_log(deal): [(500, "")] * 6}
    outcome = home(*RUN, "--extract", "--burst", "500")
    assert outcome.returncode == 1  # all was built, but a deal could not be read
    assert "The history of 1 deal could not be read" in outcome.stderr
    assert home.query("select count(*) > 0 from pipedrive_reporting.monthly_stats") == [(True,)]
    outcome = home.done(*RUN, "--extract", "--burst", "500", "--json")
    assert "Warning: the history" not in home.done("show").stderr
    home.query("update pipedrive_landing.extracts set complete_from = complete_until")
    shown = home.done("show").stderr
    assert "Warning: the history of deals is complete through" in shown
    page = home.home / "report.html"
    home.done("report", "-o", str(page))
    assert "History of deals" in page.read_text()
    assert ", and from 2" in page.read_text()
    history = json.loads(outcome.stdout)["history"]
    assert history["begin"] is None
    assert_true(home, server.account)
    home.done(*RUN, "--extract", "--burst", "500")
    assert "history complete through 2" in " ".join(home.done("status").stdout.split())
    server.urls.clear()
    with closing(psycopg2.connect(LocalPostgres(home.home).url())) as connection:
        with connection.cursor() as cursor:
            cursor.execute("lock table pipedrive_meta.run_lock in exclusive mode")
        assert home(*RUN, "--extract").returncode == 3
    assert server.urls == []


def test_what_belongs_to_extract_is_refused_without_it(home: Funnel, server: Server) -> None:
    for options in (("--extract", "--dry-run"), ("--max-tokens", "5"), ("--since", "2024-01-01")):
        assert home(*RUN, *options).returncode == 2
    assert server.urls == []


@pytest.mark.long
def test_the_role_of_the_nightly_run_reads_when_an_extract_was_made(
    home: Funnel, server: Server
) -> None:
    with TcpPostgres() as postgres:

        def as_role(role: str) -> Funnel:
            own = {**postgres.environment, "PGUSER": role, "FUNNEL_TARGET": "prod"}
            return replace(home, environment={**server.environment, **own})

        def ask_as(role: str, statement: str) -> list[tuple[object, ...]]:
            with postgres.connect(role) as connection:
                return ask(connection, statement)

        extract(as_role("postgres"))
        for _ in range(2):
            script = as_role("postgres").run(
                str(find_binaries() / "psql"), "-Xq", "-f", str(ROOT / "docs" / "roles.sql")
            )
            assert script.returncode == 0, script.stderr
        nightly = f"create role nightly login password '{postgres.password}' in role funnel_writer"
        ask_as("postgres", nightly)
        for table in ("activity", "deal_changes"):
            stale = f"update pipedrive_raw.{table} set _loaded_at = now() - interval '30 days'"
            ask_as("postgres", stale)
        as_role("nightly").done("freshness")
        as_role("nightly").done(*RUN)
        status = json.loads(as_role("nightly").done("status", "--json").stdout)
        assert status["history"]["begin"] is None
        assert ask_as("nightly", "select count(*) from pipedrive_raw.pipelines") == [(2,)]
        for table in ("users", "deals", "activities"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                ask_as("nightly", f"select from pipedrive_landing.{table}")
        extract(as_role("postgres"))  # what was handed over can still be written


def test_on_dev_it_writes_schemas_of_dev_only(home: Funnel, server: Server) -> None:
    own = ("-t", "dev", "--vars", "{raw_schema: test_pipedrive_raw}")
    with TcpPostgres() as postgres:
        dev = replace(home, environment={**home.environment, **postgres.environment})
        refused = dev("extract", *QUICK, "-t", "dev")
        assert refused.returncode == 2
        assert "target dev does not load into pipedrive_raw" in refused.stderr
        extract(dev, *own)
        with postgres.connect() as connection:
            schemas = "select nspname from pg_namespace where nspname like '%pipedrive%' order by 1"
            assert [name for (name,) in ask(connection, schemas)] == [
                "test_pipedrive_landing",
                "test_pipedrive_meta",
                "test_pipedrive_raw",
            ]
            changes = CHANGES.replace("pipedrive_raw", "test_pipedrive_raw")
            assert set(ask(connection, changes)) == server.account.changes()


@pytest.mark.long
def test_landing_tables_of_an_earlier_version_get_what_they_lack(
    home: Funnel, server: Server
) -> None:
    home.done(*RUN, "--extract", *QUICK)
    before = load_times(home)
    home.query("drop table pipedrive_landing.failed_deals")
    extracts = "alter table pipedrive_landing.extracts drop column"
    home.query(f"{extracts} complete_from, drop column unread_deals")
    home.query("alter table pipedrive_landing.deals drop column is_whole")
    assert "history complete through 2" in " ".join(home.done("status").stdout.split())
    assert extract(home, "--dry-run")["waiting_deals"] == 0
    server.account.change_deals(3)
    server.asked.clear()
    assert extract(home)["waiting_deals"] == 0
    assert server.asked["changelog"] == 3
    assert_true(home, server.account)
    assert {row: at for row, at in load_times(home).items() if row in before} == before
    home.query("update pipedrive_landing.extracts set complete_from = complete_until")
    assert "and from 2" in home.done("status").stdout


def test_rows_that_somebody_has_changed_are_set_right(home: Funnel, server: Server) -> None:
    extract(home)
    home.query("delete from pipedrive_raw.deal_changes where deal_id < 10")
    home.query("update pipedrive_raw.activity set done = not done where activity_id < 10")
    home.query("insert into pipedrive_raw.deal_changes values (999, now(), 'status', 'won')")
    extract(home)
    assert_true(home, server.account)


def test_rows_of_another_loader_are_not_deleted(home: Funnel) -> None:
    home.query("create schema pipedrive_raw")
    home.query("create table pipedrive_raw.activity as select 1 as activity_id")
    outcome = home("extract", *QUICK)
    assert outcome.returncode == 2
    assert "holds rows that `funnel extract` did not load" in outcome.stderr
    assert home.query("select * from pipedrive_raw.activity") == [(1,)]


def test_another_account_is_refused(home: Funnel, server: Server) -> None:
    extract(home)
    other = replace(home, environment={**home.environment, "PIPEDRIVE_COMPANY": "other"})
    outcome = other("extract", *QUICK)
    assert outcome.returncode == 2
    assert "this database holds the account sandbox, not other" in outcome.stderr


def test_an_activity_of_a_whole_day_is_on_that_day_in_the_reporting_zone(
    home: Funnel, server: Server
) -> None:
    server.account.activities = {1: Activity(1, "meeting", 1, 1, True, "2024-03-31", None)}
    options = ("--vars", "{timezone: America/Los_Angeles}")
    extract(home, *options)
    assert home.query("select due_to from pipedrive_raw.activity") == [
        (datetime(2024, 3, 31, 19),)  # noon there
    ]


def expected_stats(account: Account) -> list[tuple[object, ...]]:
    """Return what `monthly_stats` has to say of an account, by the oracle."""
    with (ROOT / "seeds" / "funnel_steps.csv").open() as file:
        rows = [{**row, "step_order": int(row["step_order"])} for row in DictReader(file)]
    activities = [
        oracle.Activity(number, kind, deal, done, due)
        for number, kind, _, deal, done, due in account.all_activities()
    ]
    raw = oracle.Raw(
        [oracle.Step(**row) for row in rows],  # type: ignore[arg-type]
        activities,
        [oracle.ActivityType(number, name.upper(), name) for number, name in TYPES.items()],
        [oracle.DealChange(*row) for row in account.changes()],
        [],
        [oracle.Stage(number, name) for number, (name, _) in STAGES.items()],
    )
    expected = oracle.Warehouse()
    expected.run(raw, date(2024, 6, 30), 30, 6)
    return sorted(expected.monthly_stats())


def test_from_an_account_to_its_funnel_and_what_is_deleted_leaves_it(
    home: Funnel, server: Server
) -> None:
    run = ("run", "--source-dt", "2024-06-30", "--months", "6", "--no-tests")
    columns = "month, kpi_name, funnel_step, deals_count, step_order, deal_days_count"
    stats = f"select {columns} from pipedrive_reporting.monthly_stats order by 1, 3"
    extract(home)
    for table in ("activity", "deal_changes"):  # so that no look goes back by hours
        home.query(f"update pipedrive_raw.{table} set _loaded_at = now() - interval '1 day'")
    home.done(*run)
    assert sorted(home.query(stats)) == expected_stats(server.account)
    assert sum(int(str(row[3])) for row in home.query(stats)) > 0

    oldest = min(server.account.deals.values(), key=lambda deal: deal.added)
    oldest.is_deleted = True
    del server.account.activities[1]
    extract(home)
    home.done(*run)
    assert sorted(home.query(stats)) == expected_stats(server.account)
    steps = "select count(*) from pipedrive_analytics.deal_steps where deal_id = {}"
    assert home.query(steps.format(oldest.id)) == [(0,)]
    # Once: the next run has nothing left to do but its window.
    planned = json.loads(home.done("plan", "--json", *run[1:5]).stdout)
    assert [each["month"] for each in planned["months"]] == ["2024-05", "2024-06"]
