"""An extract: sweep the account, make the tables what it holds, read the logs of changed deals."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeVar

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from runner.console import Console
from runner.environment import environment
from runner.errors import FunnelError
from runner.extract import answers
from runner.extract.account import Account, find_account
from runner.extract.answers import Reader, understood
from runner.extract.api import PAGE, Api, BudgetSpent, NotFound, Row
from runner.extract.landing import (
    ACTIVITIES,
    ACTIVITY_TYPES,
    DEALS,
    ENTITIES,
    FIELDS,
    PIPELINES,
    STAGES,
    USERS,
    Entity,
    Landing,
    Log,
)
from runner.extract.raw import RawTables
from runner.project import LANDING, Project
from runner.warehouse.connection import open_warehouse
from runner.warehouse.lock import hold_lock
from runner.words import plural

Item = TypeVar("Item")
CHUNK = 250
"""Deals whose logs are written at a time: what a kill can lose."""

LOG_TOKENS = 20
"""What the log of a deal costs, where it is whole."""

_ALL = "open,won,lost,deleted"
_IDS = 100
"""Deals that can be asked for by their ids at a time."""

_PAGED = (
    (PIPELINES, "/api/v2/pipelines", 5, answers.read_pipeline),
    (STAGES, "/api/v2/stages", 5, answers.read_stage),
    (FIELDS, "/api/v2/dealFields", 10, answers.read_field),
    (DEALS, "/api/v2/deals", 10, answers.read_deal),
    (DEALS, "/api/v2/deals/archived", 20, answers.read_deal),
    (ACTIVITIES, "/api/v2/activities", 10, answers.read_activity),
)
"""What a sweep sees: where, for how many tokens a page, and how its rows are read."""

_UNPAGED = (
    (ACTIVITY_TYPES, "/api/v1/activityTypes", 20, answers.read_activity_type),
    (USERS, "/api/v1/users", 20, answers.read_user),
)


@dataclass(frozen=True)
class ExtractOptions:
    """What a person may choose.

    Args:
        burst: Requests within two seconds that the account's plan allows.
        max_tokens: Tokens to spend; None allows half of what is left of the day, if that is known.
        dry_run: Only sweep, and say what is due.
        wait: Seconds to wait for another writer.
    """

    burst: int = 20
    max_tokens: int | None = None
    dry_run: bool = False
    wait: float = 0


@dataclass(frozen=True)
class Summary:
    """What an extract did.

    Args:
        requests: Requests made.
        tokens: Tokens spent.
        added: Rows added to the raw tables.
        removed: Rows removed from them.
        waiting_deals: Deals whose log is still due.
        unproven_deals: Deals whose log is not whole, neither in the changelog nor in the flow.
        is_swept: Whether the budget was enough for the sweep, without which nothing is written.
    """

    requests: int
    tokens: int
    added: int
    removed: int
    waiting_deals: int
    unproven_deals: int
    is_swept: bool

    def describe(self, *, dry_run: bool = False) -> str:
        """Return what was done in a line or two."""
        spent = f"{plural(self.requests, 'request')} and {self.tokens:,} tokens"
        if not self.is_swept:
            return f"The budget ended in the sweep, after {spent}: nothing was written."
        deals = plural(self.waiting_deals, "deal")
        if dry_run:
            return (
                f"The sweep took {spent}. The history of {deals} is due: at least "
                f"{plural(self.waiting_deals, 'request')} and "
                f"{self.waiting_deals * LOG_TOKENS:,} tokens more."
            )
        text = f"{spent}: {plural(self.added, 'row')} added, {self.removed:,} removed."
        if self.waiting_deals:
            text += f" The history of {deals} is left for the next extract."
        if self.unproven_deals:
            text += f" Pipedrive gives no whole history of {plural(self.unproven_deals, 'deal')}."
        return text


def extract(project: Project, options: ExtractOptions, console: Console) -> Summary:
    """Bring the account that the environment names into the raw tables of a target.

    Raises:
        FunnelError: The account cannot be read, or the target cannot be written. What was read
            until then is kept.
    """
    account = find_account()
    project.check_may_load()
    # No process that we start needs a token.
    with environment("PIPEDRIVE_(API|ACCESS)_TOKEN"), open_warehouse(project) as connection:
        if options.dry_run:
            return _Extract(project, account, connection, options, console).sweep_only()
        with hold_lock(project, connection, "funnel extract", wait=options.wait):
            return _Extract(project, account, connection, options, console).run()


class _Extract:
    def __init__(
        self,
        project: Project,
        account: Account,
        connection: Connection,
        options: ExtractOptions,
        console: Console,
    ) -> None:
        self.account = account
        self.connection = connection
        self.console = console
        self.api = Api(account, options.burst, options.max_tokens)
        self.landing = Landing(connection, project.schema(LANDING))
        self.raw = RawTables(project, self.landing)
        self.started_at = datetime.now(timezone.utc)

    def sweep_only(self) -> Summary:
        """See what the account holds, and write nothing."""
        self._check_target()
        is_swept = self._sweep()
        return self._summary(self.landing.count_due() if is_swept else 0, is_swept=is_swept)

    def run(self) -> Summary:
        """See what the account holds, and make the tables that."""
        self._check_target()
        if not self._sweep():
            return self._summary(0, is_swept=False)
        self.landing.create()
        self.raw.create()
        with self.connection, self.connection.cursor() as cursor:
            for entity in ENTITIES:
                self.landing.merge(cursor, entity)
            self.raw.write_all(cursor)
            self._record(cursor)
        waiting = self._read_logs()
        self.raw.analyze()
        summary = self._summary(waiting, is_swept=True, unproven=self.landing.count_unproven())
        with self.connection, self.connection.cursor() as cursor:
            self._record(
                cursor,
                finished_at=datetime.now(timezone.utc),
                complete_until=self.landing.find_complete_until(self.started_at),
                requests=summary.requests,
                tokens=summary.tokens,
                waiting_deals=waiting,
            )
        return summary

    def _record(self, cursor: Cursor, **values: object) -> None:
        where = {"company": self.account.company, "raw_schema": self.raw.project.raw_schema}
        self.landing.record(cursor, self.started_at, **where, **values)

    def _check_target(self) -> None:
        company = self.landing.find_company()
        if company in (None, self.account.company):
            if not self.landing.has_filled(self.raw.project.raw_schema):
                self.raw.check_free()
        else:
            raise FunnelError(
                f"this database holds the account {company}, not {self.account.company}",
                hint="Check PIPEDRIVE_COMPANY, or use another database or FUNNEL_HOME.",
            )

    def _sweep(self) -> bool:
        """See all but the logs of deals; return whether the budget was enough."""
        try:
            me = self.api.get("/api/v1/users/me", 2).get("data") or {}
            domain = me.get("company_domain")
            if domain and domain != self.account.company:
                raise FunnelError(
                    f"the token is for company {domain}, not {self.account.company}",
                    hint="Check PIPEDRIVE_COMPANY and the token.",
                )
            self.console.say(f"Reading the account {self.account.company}")
            for entity, path, cost, reader in _PAGED:
                query = {"status": _ALL} if entity is DEALS else {}
                self._see(entity, path, reader, self.api.pages(path, cost, **query))
            for entity, path, cost, reader in _UNPAGED:
                self._see(entity, path, reader, [self.api.rows(path, cost)])
            # A deal that left the archive between the two looks is in neither.
            vanished = self.landing.find_vanished_deals()
            for ids in _in_chunks(vanished, _IDS):
                path = "/api/v2/deals"
                pages = self.api.pages(path, 10, ids=",".join(map(str, ids)))
                self._see(DEALS, path, answers.read_deal, pages)
        except BudgetSpent:
            return False
        except NotFound as missing:
            raise FunnelError(
                f"Pipedrive knows no {missing}", hint="Check PIPEDRIVE_COMPANY, or update funnel."
            ) from missing
        return True

    def _see(
        self, entity: Entity, path: str, reader: Reader, pages: Iterable[Iterable[Row]]
    ) -> None:
        def read() -> Iterator[list[tuple[object, ...]]]:
            for page in pages:
                with understood(path):
                    yield [row for row in map(reader, page) if row is not None]

        self.landing.see(entity, read())

    def _read_logs(self) -> int:
        """Read the logs that are due; return how many are left."""
        due, found = self.landing.find_due(), 0
        with self.console.bar("Reading the history of deals", len(due)) as progress:
            for chunk in _in_chunks(due, CHUNK):
                logs: dict[int, Log] = {}
                stopped: BudgetSpent | FunnelError | None = None
                try:
                    for deal_id, stage_id in chunk:
                        if log := self._read_log(deal_id, stage_id):
                            logs[deal_id] = log
                            found += 1
                        if progress:
                            progress(1, f"{self.api.spent:,} tokens")
                except (BudgetSpent, FunnelError) as reason:
                    stopped = reason
                self._write_logs(logs)
                if isinstance(stopped, FunnelError):
                    raise stopped
                if stopped:
                    break
        return len(due) - found

    def _write_logs(self, logs: dict[int, Log]) -> None:
        if not logs:
            return
        with self.connection, self.connection.cursor() as cursor:
            self.landing.write_logs(cursor, logs, self.started_at.replace(tzinfo=None))
            self.raw.write_changes(cursor, list(logs))

    def _read_log(self, deal_id: int, stage_id: int | None) -> Log | None:
        """Return the changes of a deal and whether they are whole; nothing where it is gone."""
        path = f"/api/v1/deals/{deal_id}"
        try:
            rows = [row for page in self.api.pages(f"{path}/changelog", LOG_TOKENS) for row in page]
            with understood(f"{path}/changelog"):
                log = answers.read_log(rows)
        except NotFound:  # deleted since the sweep; the next one will see that
            return None
        if answers.is_whole(log, stage_id):
            return log, True
        try:
            flow = list(self._read_flow(f"{path}/flow"))
        except NotFound:
            return log, False
        with understood(f"{path}/flow"):
            merged = answers.merge(log, answers.read_flow(flow))
        return merged, answers.is_whole(merged, stage_id)

    def _read_flow(self, path: str) -> Iterator[Row]:
        start, has_more = 0, True
        while has_more:
            body = self.api.get(path, 40, items="dealChange", start=start, limit=PAGE)
            yield from body.get("data") or []
            # The documentation has one, the API has been seen with the other.
            more = body.get("additional_data") or {}
            more = more.get("pagination") or more
            has_more = bool(more.get("more_items_in_collection") and body.get("data"))
            start += PAGE

    def _summary(self, waiting: int, *, is_swept: bool, unproven: int = 0) -> Summary:
        return Summary(
            self.api.asked,
            self.api.spent,
            self.raw.added,
            self.raw.removed,
            waiting,
            unproven,
            is_swept,
        )


def _in_chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
