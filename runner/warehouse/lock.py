"""One writer at a time: an advisory lock in the warehouse, which ends with its connection."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.errors import ExitCode, FunnelError

_PAUSE = 0.2
"""Seconds between two attempts."""

_HOLDER = """
    select activity.application_name, activity.usename, activity.backend_start
    from pg_catalog.pg_locks as held
    inner join pg_catalog.pg_stat_activity as activity on activity.pid = held.pid
    where
        held.locktype = 'advisory'
        and held.granted
        and held.database = (
            select oid from pg_catalog.pg_database where datname = current_database()
        )
        and (cast(held.classid as bigint) << 32) | cast(held.objid as bigint)
        = hashtextextended(%s, 0)
"""


@contextmanager
def hold_lock(
    connection: Connection, schema: str, purpose: str, *, wait: float = 0
) -> Iterator[None]:
    """Be the only writer of a set of schemas while the block runs.

    The lock belongs to the connection: it is gone when the process dies, however it dies.

    Args:
        connection: Kept open, and used by nobody else, while the lock is held.
        schema: Stands for the set: the target's schema of daily tables.
        purpose: What the run is, for whoever meets the lock.
        wait: Seconds to wait for another writer.

    Raises:
        FunnelError: Another writer holds the lock; exit code 3.
    """
    name = f"funnel {schema}"
    deadline = time.monotonic() + wait
    with connection.cursor() as cursor:
        cursor.execute("select set_config('application_name', %s, false)", (purpose[:63],))
        while not _try(connection, name):
            # Nobody holds it where its holder has gone since.
            if time.monotonic() >= deadline and (holder := describe_holder(connection, schema)):
                raise FunnelError(
                    f"another run holds the lock: {holder}",
                    hint="Wait until it ends, or add --wait SECONDS.",
                    exit_code=ExitCode.LOCKED,
                )
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            # A connection that is lost has released it already.
            with suppress(psycopg2.Error):
                cursor.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (name,))


def describe_holder(connection: Connection, schema: str) -> str:
    """Return who holds the lock and since when, or an empty text."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLDER, (f"funnel {schema}",))
        row = cursor.fetchone()
    if row is None:
        return ""
    purpose, user, since = row
    # Another role's beginning is hidden from all but superusers and members of pg_read_all_stats.
    beginning = f", since {since:%Y-%m-%d %H:%M:%S %Z}" if since else ""
    return f"{purpose or 'a run'} of {user}{beginning}"


def _try(connection: Connection, name: str) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (name,))
            return cursor.fetchone() == (True,)
    except psycopg2.Error as error:
        raise FunnelError(f"cannot take the lock: {error.diag.message_primary}") from error
