"""An extract: sweep the account, make the tables what it holds, read the logs of changed deals."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from runner.console import Console
from runner.errors import ExitCode, FunnelError
from runner.extract import answers
from runner.extract.account import Account, find_account
from runner.extract.answers import Reader, understood
from runner.extract.api import Api, BudgetSpent, NotFound, PathError, Row
from runner.extract.histories import LOG_TOKENS, read_history
from runner.extract.landing import (
    ACTIVITIES,
    ACTIVITY_TYPES,
    DEALS,
    ENTITIES,
    FIELDS,
    PIPELINES,
    STAGES,
    USERS,
    DueDeal,
    Entity,
    Landing,
    Log,
)
from runner.extract.raw import RawTables
from runner.project import LANDING, Project
from runner.settings.environment import environment
from runner.text.words import plural
from runner.warehouse.completeness import Completeness
from runner.warehouse.connection import open_postgres
from runner.warehouse.lock import hold_lock

Item = TypeVar("Item")
CHUNK = 250
"""Deals whose logs are written at a time: what a kill can lose."""

_FAILURES = 5
"""Deals in a row that cannot be read: then no other could be either, or only old ones are left."""

_NAMED = 10
"""Deals that could not be read whose numbers are said."""

_EVER = datetime(1, 1, 1)  # noqa: DTZ001 - as the landing tables have it, in UTC without a zone
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

_REMOVABLE = (DEALS, ACTIVITIES)

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
        remove_vanished: Remove what is gone from the account, however much that is.
        since: Leave out the history of deals that have not changed since this day.
    """

    burst: int = 20
    max_tokens: int | None = None
    dry_run: bool = False
    wait: float = 0
    remove_vanished: bool = False
    since: date | None = None


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
        failed_deals: Deals whose history could not be read, among those that wait.
        failure: Why the first of them could not.
        unread_deals: All deals that could not be read as they are, by this extract or before.
        vanished_rows: Deals and activities that are kept, although the account has them no more.
        is_swept: Whether the budget was enough for the sweep, without which nothing is written.
        complete_until: Through when the history of all deals is known.
        complete_from: From when on it is known again, if something is missing before.
    """

    requests: int
    tokens: int
    added: int
    removed: int
    waiting_deals: int = 0
    unproven_deals: int = 0
    failed_deals: int = 0
    failure: str = ""
    unread_deals: tuple[int, ...] = ()
    vanished_rows: int = 0
    is_swept: bool = True
    complete_until: datetime | None = None
    complete_from: datetime | None = None

    def describe(self, *, dry_run: bool = False) -> str:
        """Return what was done in a line or two."""
        spent = f"{plural(self.requests, 'request')} and {self.tokens:,} tokens"
        if not self.is_swept:
            return (
                f"The budget ended in the sweep, after {spent}: nothing was written, and "
                "everything is left to do. Type it again tomorrow, or allow more with --max-tokens."
            )
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
        if self.vanished_rows:
            text += (
                f" {self.vanished_rows:,} deals and activities are no longer visible; nothing "
                "was removed. If they were deleted, type `funnel extract --remove-vanished`; else "
                "check what the token's user may see."
            )
        if self.unproven_deals:
            text += (
                f" Pipedrive gives no complete history of {plural(self.unproven_deals, 'deal')}."
            )
        if self.complete_until:
            unread = len(self.unread_deals)
            completeness = Completeness(self.complete_until, self.complete_from, unread)
            text += f" The history is complete {completeness.describe()}."
        if self.unread_deals:
            numbers = [f"{deal_id}" for deal_id in self.unread_deals[:_NAMED]]
            more = f", of {len(self.unread_deals):,}" if len(self.unread_deals) > _NAMED else ""
            text += f" Not read: {', '.join(numbers)}{more}."
        return text

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends."""
        return ExitCode.DATA_FAILED if self.failed_deals else ExitCode.DONE

    def describe_failures(self) -> str:
        """Return which histories could not be read, and why; nothing where all could."""
        if not self.failed_deals:
            return ""
        deals = plural(self.failed_deals, "deal")
        which = ", the first" if self.failed_deals > 1 else ""
        return (
            f"The history of {deals} could not be read{which} because {self.failure}. All else "
            "was read and is kept. The next extract asks again; after three failures once a week, "
            "or when the deal has changed."
        )


def extract(project: Project, options: ExtractOptions, console: Console) -> Summary:
    """Bring the account that the environment names into the raw tables of a target.

    Raises:
        FunnelError: The account cannot be read, or the target cannot be written. What was read
            until then is kept.
    """
    with use_account(project) as account, open_postgres(project) as connection:
        if options.dry_run:
            return _Extract(project, account, connection, options, console).sweep_only()
        with hold_lock(project, connection, "funnel extract", wait=options.wait):
            return extract_into(connection, project, account, options, console)


@contextmanager
def use_account(project: Project) -> Iterator[Account]:
    """Yield the account that the environment names, and hide its token from all that we start.

    Raises:
        FunnelError: A variable is unset or cannot be, or the target is none to load into.
    """
    account = find_account()
    project.check_may_load()
    with environment("PIPEDRIVE_(API|ACCESS)_TOKEN"):
        yield account


def extract_into(
    connection: Connection,
    project: Project,
    account: Account,
    options: ExtractOptions,
    console: Console,
) -> Summary:
    """Bring an account into the raw tables of a target whose lock is held.

    Raises:
        FunnelError: As `extract`.
    """
    return _Extract(project, account, connection, options, console).run()


class _OnlyFailuresLeft(Exception):  # noqa: N818 - nothing more failed than before
    """The deals that are left could not be read before either."""


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
        self.options = options
        self.api = Api(account, options.burst, options.max_tokens)
        self.landing = Landing(connection, project.schema(LANDING))
        self.raw = RawTables(project, self.landing)
        self.started_at = datetime.now(timezone.utc)
        self.since = _EVER
        if options.since:
            zone = ZoneInfo(project.var("timezone"))
            midnight = datetime.combine(options.since, time.min, tzinfo=zone)
            self.since = midnight.astimezone(timezone.utc).replace(tzinfo=None)
        self.failures: list[PathError] = []
        self.failures_in_a_row = 0

    def sweep_only(self) -> Summary:
        """See what the account holds, and write nothing."""
        self._check_target()
        if not self._sweep():
            return self._summary(is_swept=False)
        return self._summary(
            waiting_deals=self.landing.count_due(self.since),
            vanished_rows=self._count_suspicious(),
        )

    def run(self) -> Summary:
        """See what the account holds, and make the tables that."""
        self._check_target()
        if not self._sweep():
            return self._summary(is_swept=False)
        self.landing.create()
        self.raw.create()
        vanished = 0 if self.options.remove_vanished else self._count_suspicious()
        with self.connection, self.connection.cursor() as cursor:
            for entity in ENTITIES:
                removes = not (vanished and entity in _REMOVABLE)
                self.landing.merge(cursor, entity, removes=removes)
            self.raw.write_all(cursor)
            self._record(cursor)
        waiting = self._read_logs()
        self.raw.analyze()
        until, begin = self.landing.find_complete(self.started_at, self.since)
        unread = tuple(self.landing.find_unread())
        summary = self._summary(
            waiting_deals=waiting,
            unproven_deals=self.landing.count_unproven(),
            unread_deals=unread,
            vanished_rows=vanished,
            complete_until=until,
            complete_from=begin,
        )
        with self.connection, self.connection.cursor() as cursor:
            self._record(
                cursor,
                finished_at=datetime.now(timezone.utc),
                complete_until=until,
                complete_from=begin,
                requests=summary.requests,
                tokens=summary.tokens,
                waiting_deals=waiting,
                unread_deals=len(unread),
            )
        return summary

    def _count_suspicious(self) -> int:
        return sum(map(self.landing.count_suspicious, _REMOVABLE))

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
            self.api.check_account()
            self.console.say(f"Reading the account {self.account.company}")
            with self.console.bar("Reading lists", len(_PAGED) + len(_UNPAGED)) as progress:
                for entity, path, cost, reader in _PAGED:
                    query = {"status": _ALL} if entity is DEALS else {}
                    self._see(entity, path, reader, self.api.pages(path, cost, **query))
                    if progress:
                        progress(1)
                for entity, path, cost, reader in _UNPAGED:
                    self._see(entity, path, reader, [self.api.rows(path, cost)])
                    if progress:
                        progress(1)
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
        due, found = self.landing.find_due(self.since), 0
        with self.console.bar("Reading the history of deals", len(due)) as progress:
            for chunk in _in_chunks(due, CHUNK):
                logs: dict[int, Log] = {}
                failed: list[DueDeal] = []
                stopped: Exception | None = None
                try:
                    for deal in chunk:
                        if log := self._read_log(deal):
                            logs[deal.id] = log
                            found += 1
                        else:
                            failed.append(deal)
                            self._judge_failures(deal)
                        if progress:
                            progress(1, f"{self.api.spent:,} tokens")
                except (BudgetSpent, _OnlyFailuresLeft, FunnelError) as reason:
                    stopped = reason
                self._write_logs(logs, failed)
                if isinstance(stopped, FunnelError):
                    raise stopped
                if stopped:
                    break
        return len(due) - found

    def _read_log(self, deal: DueDeal) -> Log | None:
        """Return the history of a deal; nothing where it is gone, or cannot be read for now."""
        try:
            log = read_history(self.api, deal)
        except PathError as error:
            self.failures.append(error)
            self.failures_in_a_row += 1
            return None
        self.failures_in_a_row = 0
        return log

    def _judge_failures(self, deal: DueDeal) -> None:
        """Stop after many in a row: with an error, unless only deals that failed before are left.

        Raises:
            PathError, _OnlyFailuresLeft: That is so.
        """
        if self.failures_in_a_row == _FAILURES:
            raise _OnlyFailuresLeft if deal.has_failed else self.failures[-1]

    def _write_logs(self, logs: dict[int, Log], failed: list[DueDeal]) -> None:
        with self.connection, self.connection.cursor() as cursor:
            self.landing.write_failures(cursor, failed)
            if logs:
                self.landing.write_logs(cursor, logs, self.started_at.replace(tzinfo=None))
                self.raw.write_changes(cursor, list(logs))

    def _summary(self, **values: Any) -> Summary:  # noqa: ANN401 - those of a summary
        failure = self.failures[0].message if self.failures else ""
        return Summary(
            self.api.asked,
            self.api.spent,
            self.raw.added,
            self.raw.removed,
            failed_deals=len(self.failures),
            failure=failure,
            **values,
        )


def _in_chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
