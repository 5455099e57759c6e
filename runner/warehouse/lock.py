"""One writer at a time: a table in the warehouse, locked for as long as a transaction is open.

Unlike an advisory lock it is for those alone who may write, and no pooler can share it out. The
transaction has a connection of its own, reads nothing, and so keeps nothing from being vacuumed.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import NoReturn

import psycopg2
from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.errors import ExitCode, FunnelError
from runner.project import META, Project
from runner.warehouse.connection import connect, table_exists
from runner.warehouse.meta import LOCK, create_ledger

_PAUSE = 0.2
"""Seconds between two attempts."""

_BEAT = 20
"""Seconds between two statements on the connection with the lock, so that nothing forgets it."""

# Whatever the server's limits: this transaction waits for dbt. A server notices in two minutes that
# a machine is gone which held the lock.
_BEGIN = """
    begin;
    set local tcp_keepalives_idle = 60;
    set local tcp_keepalives_interval = 20;
    set local tcp_keepalives_count = 3;
    select set_config(name, '0', true) from pg_catalog.pg_settings
    where name in ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""

_HOLDER = """
    select activity.application_name, activity.usename, activity.xact_start
    from pg_catalog.pg_locks as held
    inner join pg_catalog.pg_class as class on class.oid = held.relation
    inner join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    inner join pg_catalog.pg_stat_activity as activity on activity.pid = held.pid
    where
        held.database = (select oid from pg_catalog.pg_database where datname = current_database())
        and held.mode = 'ExclusiveLock'
        and held.granted
        and namespace.nspname = %s
        and class.relname = %s
"""


class LockLost(KeyboardInterrupt):  # noqa: N818 - dbt ends its queries where Ctrl-C is pressed
    """Another run may have begun."""


@contextmanager
def hold_lock(
    project: Project, connection: Connection, purpose: str, *, wait: float = 0
) -> Iterator[None]:
    """Be the only writer of the target's schemas while the block runs.

    The lock is gone when the process dies, however it dies. Where it is lost earlier, the block
    meets a `LockLost`.

    Args:
        project: Says which schemas.
        connection: The one that the block works with, in autocommit mode.
        purpose: What the run is, for whoever meets the lock.
        wait: Seconds to wait for another writer.

    Raises:
        FunnelError: Another writer holds the lock, exit code 3; this role may not write; a pooler
            shares out the connections; or the lock was lost.
    """
    schema = project.schema(META)
    deadline = time.monotonic() + wait
    with closing(connect(project)) as holder:
        _refuse_shared_session(connection, holder)
        if not table_exists(connection, schema, LOCK):
            create_ledger(connection, schema)
        while not _try(holder, schema, purpose):
            # Nobody holds it where its holder has gone since.
            if time.monotonic() >= deadline and (found := describe_holder(connection, schema)):
                raise FunnelError(
                    f"another run holds the lock: {found}",
                    hint="Wait until it ends, or add --wait SECONDS.",
                    exit_code=ExitCode.LOCKED,
                )
            time.sleep(_PAUSE)
        with connection.cursor() as cursor:  # it has nothing to say while dbt works
            cursor.execute("set idle_session_timeout = 0")
        with _watched(holder, project.target):
            yield
        with suppress(psycopg2.Error):
            _execute(holder, "rollback")


def describe_holder(connection: Connection, schema: str) -> str:
    """Return who holds the lock and since when, or an empty text.

    Args:
        connection: A connection to the warehouse.
        schema: The schema of the ledger, as on the target.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HOLDER, (schema, LOCK))
        row = cursor.fetchone()
    if row is None:
        return ""
    purpose, user, since = row
    # Another role's beginning is hidden from all but superusers and members of pg_read_all_stats.
    beginning = f", since {since:%Y-%m-%d %H:%M:%S %Z}" if since else ""
    return f"{purpose or 'a run'} of {user}{beginning}"


def _refuse_shared_session(connection: Connection, holder: Connection) -> None:
    """Refuse a pooler in transaction mode: what a session has set, other programs would meet."""
    session = _ask_session(connection)
    _execute(holder, "begin")
    try:
        is_shared = session == _ask_session(holder) or session != _ask_session(connection)
    finally:
        _execute(holder, "rollback")
    if is_shared:
        raise FunnelError(
            "there is a pooler in transaction mode before the database",
            hint="Set PGHOST and PGPORT to the server itself, or to a pool in session mode.",
        )


def _try(holder: Connection, schema: str, purpose: str) -> bool:
    lock = sql.SQL("lock table {} in exclusive mode nowait").format(sql.Identifier(schema, LOCK))
    try:
        _execute(holder, _BEGIN)
        with holder.cursor() as cursor:
            cursor.execute("select set_config('application_name', %s, true)", (purpose[:63],))
            cursor.execute(lock)
        return True
    except errors.LockNotAvailable:
        _execute(holder, "rollback")
        return False
    except psycopg2.Error as error:
        raise FunnelError(
            f"cannot take the lock: {error.diag.message_primary}",
            hint="`funnel doctor` says which permissions are missing.",
        ) from error


@contextmanager
def _watched(holder: Connection, target: str) -> Iterator[None]:
    """Interrupt the block when the connection is lost that holds the lock."""
    reasons: list[str] = []
    ended, end = os.pipe()
    main = threading.get_ident()

    def watch() -> None:
        while ended not in select.select([holder, ended], [], [], _BEAT)[0]:
            try:
                _execute(holder, "select 1")
            except psycopg2.Error as error:
                reasons.append(str(error).strip().partition("\n")[0])
                signal.pthread_kill(main, signal.SIGUSR1)
                return

    thread = threading.Thread(target=watch)
    before = signal.signal(signal.SIGUSR1, _interrupt)
    thread.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, lambda *_: None)
        os.write(end, b"x")
        thread.join()
        signal.signal(signal.SIGUSR1, before)
        os.close(end)
        os.close(ended)
        if reasons:  # whatever the block made of it
            raise FunnelError(
                f"the connection to {target} was lost: {reasons[0]}",
                hint="Run it again; what was written is whole.",
            )


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise LockLost


def _ask_session(connection: Connection) -> object:
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        return cursor.fetchone()


def _execute(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
