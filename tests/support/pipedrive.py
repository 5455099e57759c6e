"""An invented Pipedrive account, and a server on 127.0.0.1 that answers for it as Pipedrive does.

The account knows the truth: every change of every deal from its creation on. The server shows of it
what Pipedrive shows: no row for what a deal began with, changes logged twice, logs cut at 500 rows,
custom fields, archived and deleted deals in places of their own. It counts what it is asked within
two seconds, and refuses what is above the limit.
"""

import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pipedrive_schemas import VALIDATORS

API_TOKEN = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - of nobody
_KEYS_OF_USER = (API_TOKEN, f"Bearer {API_TOKEN}")
COMPANY = "sandbox"
BEGIN = datetime(2024, 1, 1)
END = datetime(2024, 6, 30, 18)
CUT_AT = 500
STAGES = {
    1: ("Lead Generation", 1),
    2: ("Qualified lead", 1),
    3: ("Needs Assessment", 1),
    4: ("Proposal/Quote Preparation", 1),
    5: ("Negotiation", 1),
    6: ("Closing", 1),
    7: ("Implementation/Onboarding", 1),
    11: ("Lead Generation", 2),
    12: ("Renewal/Expansion", 2),
}
PIPELINES = {1: "Sales", 2: "Renewals"}
TYPES = {1: "call", 2: "meeting", 3: "sc_2", 4: "email"}
REASONS = {31: "Price", 32: "No budget"}
CUSTOM_FIELD = "a" * 40
KEYS = ("stage_id", "pipeline_id", "user_id", "value", "currency", "status", "lost_reason")

Json = dict[str, Any]
RawChange = tuple[int, datetime, str, str | None]
RawActivity = tuple[int, str, int, int | None, bool, datetime | None]


@dataclass
class Deal:
    """A deal, with all that has happened to it."""

    id: int
    added: datetime
    today: Json
    updated: datetime
    first: Json = field(default_factory=dict)
    log: list[tuple[datetime, str, Any, Any]] = field(default_factory=list)
    is_archived: bool = False
    is_deleted: bool = False
    is_forgotten: bool = False
    """Deleted more than 30 days ago: no list has it."""

    is_silent: bool = False
    """Whether its log does not say how it ended."""

    is_cut: bool = False
    """Whether its log has no next page."""

    def change(self, moment: datetime, **values: object) -> None:
        """Change fields at a moment, as one click does."""
        for key, value in values.items():
            if self.today[key] != value:
                self.log.append((moment, key, self.today[key], value))
                self.today[key] = value
        self.updated = max(self.updated, moment)

    def truth(self) -> set[RawChange]:
        """Return its rows of `deal_changes`."""
        if self.is_deleted:
            return set()
        first: set[RawChange] = {
            (self.id, self.added, "add_time", f"{self.added:%Y-%m-%d %H:%M:%S}")
        }
        first |= {
            (self.id, self.added, key, text(value))
            for key, value in self.first.items()
            if value is not None
        }
        return first | {
            (self.id, moment, key, text(new))
            for moment, key, _, new in self.log
            if key != CUSTOM_FIELD
        }


@dataclass(frozen=True)
class Activity:
    """An activity as Pipedrive shows it."""

    id: int
    type: str
    owner_id: int
    deal_id: int | None
    done: bool
    due_date: str | None
    due_time: str | None


def text(value: object) -> str | None:
    """Return a value as `deal_changes.new_value` has it."""
    return None if value is None else str(value)


class Account:
    """What an account holds; `seed` says what, the same each time."""

    def __init__(self, seed: int, deals: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.now = END
        self.deals: dict[int, Deal] = {}
        self.activities: dict[int, Activity] = {}
        for deal_id in range(1, deals + 1):
            self.add_deal(deal_id)
        self._of_a_deal = [None, *self.deals, *self.deals]
        for activity_id in range(1, 3 * deals + 1):
            self.add_activity(activity_id)

    def add_deal(self, deal_id: int) -> Deal:
        """Add a deal with a life of its own."""
        draw = self.random
        added = BEGIN + timedelta(seconds=draw.randrange(150 * 86400))
        today = {
            "stage_id": draw.choice([1, 2]),
            "pipeline_id": 1,
            "user_id": draw.randrange(1, 5),
            "value": draw.choice([None, 100, 2500.5]),
            "currency": "EUR",
            "status": "open",
            "lost_reason": None,
        }
        if deal_id % 20 == 9:  # imported as won, of which the log knows nothing
            today |= {"status": "won"}
        deal = Deal(deal_id, added, today, added, dict(today), is_archived=draw.random() < 0.1)
        moment = added
        for _ in range(draw.randrange(7)):
            moment += timedelta(seconds=draw.randrange(1, 20 * 86400))
            if moment > self.now:
                break
            self.touch(deal, moment)
        if deal_id % 20 == 11 and not any(key == "status" for _, key, *_ in deal.log):
            deal.is_silent = True
            deal.change(deal.updated + timedelta(hours=1), status="lost", lost_reason="31")
        self.deals[deal_id] = deal
        return deal

    def touch(self, deal: Deal, moment: datetime) -> None:
        """Have something happen to a deal."""
        draw = self.random
        what = draw.choice(["move", "move", "two moves", "owner", "value", "lose", "win", "custom"])
        if deal.is_silent:
            deal.change(moment, stage_id=draw.choice([2, 3, 4, 5, 6, 7]))
        elif deal.today["status"] != "open":
            deal.change(moment, status="open", lost_reason=None)
        elif what == "move":
            deal.change(moment, stage_id=draw.choice([2, 3, 4, 5, 6, 7]))
        elif what == "two moves":  # by an automation, in one second; and into another pipeline
            deal.change(moment, stage_id=draw.choice([3, 4]))
            deal.change(moment, stage_id=draw.choice([11, 12]), pipeline_id=2)
        elif what == "owner":
            deal.change(moment, user_id=draw.randrange(1, 5))
        elif what == "value":
            deal.change(moment, value=draw.choice([50, 75.25, 1000]), currency="USD")
        elif what == "lose":
            deal.change(moment, status="lost", lost_reason=draw.choice(["31", "Too slow"]))
        elif what == "win":
            deal.change(moment, status="won")
        else:
            deal.log.append((moment, CUSTOM_FIELD, None, "secret"))
            deal.updated = max(deal.updated, moment)

    def add_long_deal(self, deal_id: int, changes: int, *, is_cut: bool) -> Deal:
        """Add a deal with very many changes."""
        deal = self.add_deal(deal_id)
        deal.is_archived, deal.is_silent, deal.is_cut = False, False, is_cut
        deal.log, deal.today = [], dict(deal.first)  # the flow would not say why it was lost
        for number in range(changes):
            deal.change(deal.updated + timedelta(minutes=1), value=number)
        return deal

    def add_activity(self, activity_id: int) -> None:
        """Add an activity, of a deal or of none."""
        draw = self.random
        moment = BEGIN + timedelta(minutes=draw.randrange(180 * 1440))
        day, clock = f"{moment:%Y-%m-%d}", f"{moment:%H:%M}"
        self.activities[activity_id] = Activity(
            activity_id,
            draw.choice(list(TYPES.values())),
            draw.randrange(1, 5),
            draw.choice(self._of_a_deal),
            draw.random() < 0.8,
            draw.choice([None, day, day, day, day]),
            draw.choice([None, clock, clock]),
        )

    def change_deals(self, count: int) -> list[int]:
        """Have something happen to some deals, later than all before."""
        ids = self.random.sample([d.id for d in self.deals.values() if not d.is_deleted], count)
        for deal_id in ids:
            self.now += timedelta(seconds=7)
            self.touch(self.deals[deal_id], self.now)
        return ids

    def merge(self, source: Deal, target: Deal) -> None:
        """Merge a deal into another, which keeps its values and gets the activities."""
        self.now += timedelta(seconds=7)
        source.is_deleted = True
        target.updated = self.now
        for activity in list(self.activities.values()):
            if activity.deal_id == source.id:
                self.retype(activity.id, deal_id=target.id)

    def changes(self) -> set[RawChange]:
        """Return the rows that `deal_changes` has to hold."""
        return {row for deal in self.deals.values() for row in deal.truth()}

    def all_activities(self) -> set[RawActivity]:
        """Return the rows that `activity` has to hold, in an account whose zone is UTC."""
        return {
            (
                each.id,
                each.type,
                each.owner_id,
                each.deal_id,
                each.done,
                datetime.fromisoformat(f"{each.due_date} {each.due_time or '12:00'}")
                if each.due_date
                else None,
            )
            for each in self.activities.values()
            if not (each.deal_id in self.deals and self.deals[each.deal_id].is_deleted)
        }

    def retype(self, activity_id: int, **values: object) -> None:
        """Change an activity."""
        self.activities[activity_id] = replace(self.activities[activity_id], **values)  # type: ignore[arg-type]


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that was killed."""


class Server:
    """Answers for an account within limits; `faults` are answers that come before the right one."""

    def __init__(self, account: Account, burst: int) -> None:
        self.account = account
        self.burst = burst
        self.budget: int | None = None
        self.faults: dict[str, list[tuple[int, str]]] = {}
        self.asked: Counter[str] = Counter()
        self.refused = 0
        self.gone_meanwhile: set[int] = set()
        """Deals deleted once the lists were read: of one asked by its id, none is there."""

        self.is_strict = True
        """Whether answers are held against the description; what breaks it is in `broken`."""

        self.broken: list[str] = []
        self.as_listed: dict[int, Json] = {}
        """Deals as the lists have them, where these are older than the deal."""

        self.delay = 0.0
        self.slow: set[str] = set()
        self.urls: list[str] = []
        self._moments: deque[float] = deque()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer waits 40 ms for its second packet

            def do_GET(self) -> None:  # noqa: N802
                status, body, headers = server.answer(self.path, dict(self.headers))
                content = body.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._http = _Http(("127.0.0.1", 0), Handler)
        self.environment = {
            "PIPEDRIVE_API_TOKEN": API_TOKEN,
            "PIPEDRIVE_COMPANY": COMPANY,
            "PIPEDRIVE_API_URL": f"http://127.0.0.1:{self._http.server_address[1]}",
        }

    def start(self) -> None:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, url: str, headers: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        """Return status, body and headers of one answer."""
        parts = urlsplit(url)
        time.sleep(1 if parts.path in self.slow else self.delay)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        lowered = {name.lower(): value for name, value in headers.items()}
        with self._lock:
            self.urls.append(url)
            now = time.monotonic()
            while self._moments and self._moments[0] <= now - 2:
                self._moments.popleft()
            self._moments.append(now)
            limits = {"x-ratelimit-reset": "2", "content-type": "application/json"}
            if self.budget is not None:
                limits["x-daily-ratelimit-token-remaining"] = str(max(0, self.budget))
            if len(self._moments) > self.burst or (self.budget is not None and self.budget <= 0):
                self.refused += 1
                return 429, '{"success":false,"error":"rate limit exceeded"}', limits
            if self.faults.get(parts.path):
                status, body = self.faults[parts.path].pop(0)
                kind = "text/html" if body.startswith("<") else "application/json"
                return status, body, {**limits, "content-type": kind}
            if lowered.get("x-api-token", lowered.get("authorization")) not in _KEYS_OF_USER:
                return 401, '{"success":false,"error":"unauthorized access","errorCode":401}', {}
            if self.budget is not None:
                self.budget -= 20
            what = parts.path.rpartition("/")[2]
            self.asked[what] += 1
            status, document = self.route(parts.path, query)
            if status == HTTPStatus.OK and self.is_strict:
                self.broken += [
                    f"{what}: {e.message}" for e in VALIDATORS[what].iter_errors(document)
                ]
            return status, json.dumps(document), limits

    def route(self, path: str, query: dict[str, str]) -> tuple[int, Json]:
        """Return the answer of an endpoint."""
        account = self.account
        if path.startswith("/api/v1/deals/"):
            return self.history(path, query)
        asked = {int(each) for each in query.get("ids", "").split(",") if each}
        if path in ("/api/v2/deals", "/api/v2/deals/archived"):
            return 200, page(
                [
                    deal
                    for deal in account.deals.values()
                    if deal.is_archived == path.endswith("archived")
                    and not deal.is_forgotten
                    and (not asked or deal.id in asked - self.gone_meanwhile)
                ],
                query,
                lambda deal: self.as_listed.get(deal.id) or show_deal(deal),
            )
        if path == "/api/v2/activities":
            return 200, page(
                list(account.activities.values()),
                query,
                lambda each: {**vars(each), "subject": "private", "busy": None},
            )
        lists: dict[str, list[Json]] = {
            "/api/v2/stages": [
                {"id": key, "name": name, "pipeline_id": pipeline, "update_time": None}
                for key, (name, pipeline) in STAGES.items()
            ],
            "/api/v2/pipelines": [{"id": key, "name": name} for key, name in PIPELINES.items()],
            "/api/v2/dealFields": [
                {"field_code": "title", "field_name": "Title", "field_type": "varchar"},
                {"field_code": CUSTOM_FIELD, "field_name": "Secret", "options": None},
                {
                    "field_code": "lost_reason",
                    "field_name": "Lost reason",
                    "options": [{"id": key, "label": name} for key, name in REASONS.items()],
                },
            ],
        }
        if path in lists:
            return 200, page(lists[path], query)
        unpaged: dict[str, object] = {
            "/api/v1/users/me": {"id": 1, "company_domain": COMPANY},
            "/api/v1/users": [
                {
                    "id": number,
                    "name": f"User {number}",
                    "email": f"user{number}@example.org",
                    "modified": "2024-01-01 08:00:00",
                }
                for number in range(1, 5)
            ],
            "/api/v1/activityTypes": [
                {"id": key, "name": name.upper(), "key_string": name, "active_flag": True}
                for key, name in TYPES.items()
            ],
        }
        if path in unpaged:
            return 200, {"success": True, "data": unpaged[path]}
        return 404, {"success": False, "error": "unknown"}

    def history(self, path: str, query: dict[str, str]) -> tuple[int, Json]:
        """Return the answer about one deal."""
        *_, identity, what = path.split("/")
        deal = self.account.deals.get(int(identity))
        if deal is None or deal.is_deleted or deal.id in self.gone_meanwhile:
            return 404, {"success": False, "error": "Deal not found"}
        return 200, self.flow(deal, query) if what == "flow" else self.changelog(deal, query)

    def changelog(self, deal: Deal, query: dict[str, str]) -> Json:
        """Return the log of a deal, newest first, some rows twice."""
        rows = show_log(deal)
        doubled = [row for place, row in enumerate(rows) for _ in range(1 + (place % 3 == 1))]
        newest_first = doubled[::-1]
        return page(newest_first[:CUT_AT] if deal.is_cut else newest_first, query)

    def flow(self, deal: Deal, query: dict[str, str]) -> Json:
        """Return the flow of a deal, newest first, without its lost reasons."""
        rows = [
            {
                "object": "dealChange",
                "timestamp": row["time"],
                "data": {
                    "id": 1000 + place,
                    "item_id": deal.id,
                    **{name: row[name] for name in ("field_key", "old_value", "new_value")},
                    "log_time": row["time"],
                },
            }
            for place, row in enumerate(show_log(deal))
            if row["field_key"] != "lost_reason"
        ][::-1]
        start, limit = int(query.get("start", 0)), int(query.get("limit", 100))
        more = start + limit < len(rows)
        flat: Json = {"start": start, "limit": limit, "more_items_in_collection": more}
        return {
            "success": True,
            "data": rows[start : start + limit] or None,
            # As documented, and as seen.
            "additional_data": flat if deal.id % 2 else {"pagination": flat},
        }


def show_deal(deal: Deal) -> Json:
    """Return a deal as the lists of v2 do."""
    today = {**deal.today, "owner_id": deal.today["user_id"]}
    del today["user_id"]
    closed = [moment for moment, key, *_ in deal.log if key == "status"]
    if not closed and deal.id % 40 == 9:
        closed = [deal.added - timedelta(days=1)]  # imported with the time of its win
    closed_at = f"{closed[-1]:%Y-%m-%dT%H:%M:%SZ}" if closed else None
    return {
        "id": deal.id,
        "title": "private",
        "org_id": None,
        **today,
        "add_time": f"{deal.added:%Y-%m-%dT%H:%M:%SZ}",
        "update_time": f"{deal.updated:%Y-%m-%dT%H:%M:%SZ}",
        "won_time": closed_at if deal.today["status"] == "won" else None,
        "lost_time": closed_at if deal.today["status"] == "lost" else None,
        "is_deleted": deal.is_deleted,
        "is_archived": deal.is_archived,
        "custom_fields": {CUSTOM_FIELD: "secret"},
    }


def show_log(deal: Deal) -> list[Json]:
    """Return the log of a deal, oldest first: its creation, and each change."""
    changes = [(deal.added, "add_time", None, f"{deal.added:%Y-%m-%d %H:%M:%S}"), *deal.log]
    return [
        {
            # Two names of one field, seen in the same account.
            "field_key": "owner_id" if key == "user_id" and deal.id % 2 else key,
            "old_value": text(old),
            "new_value": text(new) if place % 2 else new,
            "time": f"{moment:%Y-%m-%d %H:%M:%S}",
            "actor_user_id": 1,
            "change_source": "something_new",
            "is_bulk_update_flag": None,
        }
        for place, (moment, key, old, new) in enumerate(changes)
        if not (deal.is_silent and key in ("status", "lost_reason"))
    ]


def page(
    rows: Sequence[Any], query: dict[str, str], show: Callable[[Any], Json] = lambda row: row
) -> Json:
    """Return the page that a cursor asks for, of rows as Pipedrive shows them."""
    begin, limit = int(query.get("cursor", 0)), min(int(query.get("limit", 100)), 500)
    following = begin + limit if begin + limit < len(rows) else None
    return {
        "success": True,
        "data": [show(row) for row in rows[begin : begin + limit]],
        "additional_data": {"next_cursor": following and str(following)},
    }


@contextmanager
def serve(account: Account, burst: int = 1000) -> Iterator[Server]:
    """Answer for an account while the block runs."""
    server = Server(account, burst)
    server.start()
    try:
        yield server
    finally:
        server.stop()
    assert server.broken == []
