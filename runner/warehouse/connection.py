"""Connections to the warehouse for everything that is not dbt, from the variables dbt reads."""

import os
import pwd
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.errors import InsufficientPrivilege, LockNotAvailable, QueryCanceled
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.errors import FunnelError
from runner.postgres.server import DATABASE, PORT, SUPERUSER, LocalPostgres, find_owner
from runner.project import Project, is_on_spark
from runner.settings.environment import environment

LOCAL_HOST_VARIABLE = "FUNNEL_LOCAL_HOST"
DAILY_TABLES = ("daily_activity_stats", "daily_deal_stats")
DEAL_TABLES = (
    "deal_months",
    "deal_first_statuses",
    "deal_events",
    "deal_stage_visits",
    "deal_closings",
    "deal_steps",
    "deal_values",
    "deal_states",
)
MONTH_TABLES = ("monthly_stats_by_owner", "monthly_stats_by_pipeline")

_READ_VARIABLES = "HOST|PORT|USER|PASSWORD|DATABASE|PASSFILE|SSL(MODE|ROOTCERT|CERT|KEY)"
"""Of the targets dev and prod, after PG. libpq has more: one of them leads to another server."""

_LAST_PORT = 65535

_REMEDIES = {
    "password authentication": "Check PGUSER and PGPASSWORD.",
    "database": "Check PGDATABASE.",
    "role": "Check PGUSER.",
}
"""What to check, by how the server's refusal begins."""


def connect(project: Project) -> Connection:
    """Connect to the target's database, in autocommit mode.

    A query so leaves no transaction open, which would keep dbt from replacing what it read;
    what belongs together is written inside `with connection:`, which is one transaction.

    Raises:
        FunnelError: No server, a wrong password, an unknown database, or a variable that is unset
            or cannot be. The password is never part of it.
    """
    is_local = project.target == "local"
    try:
        with _libpq_variables(project):
            connection: Connection = psycopg2.connect(
                **(_local_parameters() if is_local else _server_parameters(project.target)),
                application_name="funnel",
                connect_timeout=10,
                # A run takes long, and a firewall between forgets a connection that says nothing.
                keepalives_idle=60,
            )
    except psycopg2.OperationalError as error:
        reason = _first_refusal(str(error))
        hint = _find_local_remedy(reason) if is_local else _find_remedy(reason)
        # Without its cause: libpq may quote what it was given.
        raise FunnelError(f"cannot connect to {project.target}: {reason}", hint=hint) from None
    connection.autocommit = True
    return connection


@contextmanager
def open_postgres(project: Project) -> Iterator[Connection]:
    """Connect to the target's Postgres; for `local`, have the embedded server run meanwhile.

    dbt finds the embedded server through FUNNEL_LOCAL_HOST. Where that already names another
    server's socket folder, nothing is started.

    Raises:
        FunnelError: As `connect`; the target is no Postgres, or the embedded one does not start; or
            the connection is lost, or a query took longer than it may or needs a permission that is
            missing.
    """
    if is_on_spark(project):
        raise only_on_postgres()
    server = _find_embedded_server(project)
    running = server.session() if server else nullcontext()
    with running, _libpq_variables(project), closing(connect(project)) as connection:
        try:
            yield connection
        except (psycopg2.Error, FunnelError) as error:
            reason = error.__cause__ if isinstance(error, FunnelError) else error
            if isinstance(reason, psycopg2.Error) and connection.closed:
                raise FunnelError(
                    f"the connection to {project.target} was lost: {_first_line(reason)}",
                    hint="Run it again; what was written is whole.",
                ) from error
            if isinstance(error, (LockNotAvailable, QueryCanceled)):
                raise FunnelError(
                    _first_line(error),
                    hint="Run it again, or ask who holds a lock in the database.",
                ) from error
            if isinstance(error, InsufficientPrivilege):
                raise FunnelError(
                    _first_line(error), hint="`funnel doctor` says which permissions are missing."
                ) from error
            raise


def table_exists(connection: Connection, schema: str, table: str) -> bool:
    """Return whether there is a table or view of this name.

    Raises:
        FunnelError: This role may not look into the schema.
    """
    name = sql.Identifier(schema, table)
    with reading(schema, table), connection.cursor() as cursor:
        cursor.execute("select to_regclass(%s)", (name.as_string(connection),))
        return cursor.fetchone() != (None,)


def only_on_postgres() -> FunnelError:
    """Return the error of what has no meaning, or is not built, on another engine."""
    return FunnelError(
        "this works on Postgres only", hint="docs/spark.md says what works on Spark."
    )


def create_schema(connection: Connection, schema: str) -> None:
    """Create a schema that does not exist yet.

    Raises:
        FunnelError: This role may not create it.
    """
    with connection.cursor() as cursor:
        # Looked up first: `if not exists` asks for a permission even where it does nothing.
        cursor.execute("select from pg_catalog.pg_namespace where nspname = %s", (schema,))
        if cursor.fetchone() is not None:
            return
        try:
            cursor.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
        except psycopg2.Error as error:
            raise FunnelError(
                f"cannot create schema {schema}: {error.diag.message_primary}",
                hint="`funnel doctor` says which permissions are missing.",
            ) from error


@contextmanager
def reading(schema: str, table: str) -> Iterator[None]:
    """Turn what the database refuses into an error a person can act on."""
    try:
        yield
    except psycopg2.Error as error:
        raise FunnelError(
            f"cannot read {schema}.{table}: {_first_line(error)}",
            hint="`funnel doctor` looks for what is missing.",
        ) from error


def _first_line(error: psycopg2.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().partition("\n")[0]


def _find_embedded_server(project: Project) -> LocalPostgres | None:
    """Return the server to start for the target, if any."""
    if project.target != "local":
        return None
    server = LocalPostgres(project.home)
    given = os.environ.get(LOCAL_HOST_VARIABLE)
    if given and Path(given).resolve() != server.socket_dir.resolve():
        return None
    return server


def _libpq_variables(project: Project) -> AbstractContextManager[None]:
    """Leave only the documented ones to libpq, in this process, in dbt and in what we start.

    For `local` that is none. libpq itself then asks the kernel whose server it has met.

    Raises:
        FunnelError: The folder of the embedded server's socket is not there, or not private.
    """
    if project.target != "local":
        return environment(f"PG(?!({_READ_VARIABLES})$)")
    server = _find_embedded_server(project)
    folder = server.socket_dir if server else Path(os.environ[LOCAL_HOST_VARIABLE]).absolute()
    try:
        owner = server.find_owner() if server else find_owner(folder)
    except FileNotFoundError as error:
        raise FunnelError(
            f"cannot connect to local: there is no {folder}", hint=_find_local_remedy()
        ) from error
    peer = pwd.getpwuid(owner).pw_name
    return environment("PG", PGREQUIREPEER=peer, **{LOCAL_HOST_VARIABLE: str(folder)})


def _local_parameters() -> dict[str, Any]:
    host = os.environ[LOCAL_HOST_VARIABLE]
    return {"host": host, "port": PORT, "user": SUPERUSER, "dbname": DATABASE}


def _server_parameters(target: str) -> dict[str, Any]:
    """Read what profiles.yml reads, but PGPASSWORD, which libpq takes by itself."""
    given = {name: os.environ.get(name, "") for name in ("PGUSER", "PGDATABASE")}
    unset = [name for name, value in given.items() if not value]
    if unset:
        verb = "is" if len(unset) == 1 else "are"
        raise FunnelError(
            f"{' and '.join(unset)} {verb} not set, which --target {target} needs",
            hint="Set PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE.",
        )
    given["PGHOST"] = os.environ.get("PGHOST", "localhost")
    for name, value in given.items():
        if "://" in value:  # not shown: it may hold a password
            raise FunnelError(
                f"{name} holds a URL",
                hint="Put its parts into PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE.",
            )
    port = os.environ.get("PGPORT", str(PORT))
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= _LAST_PORT:
        raise FunnelError(
            "PGPORT is not the number of a port", hint=f"Set it to 1 to {_LAST_PORT}, or unset it."
        )
    return {
        "host": given["PGHOST"],
        "port": int(port),
        "user": given["PGUSER"],
        "dbname": given["PGDATABASE"],
    }


def _first_refusal(text: str) -> str:
    """Return one line of libpq's error: a server's refusal rather than a failed attempt before.

    localhost is two addresses; the server may listen on the second only.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    refusals = [line for line in lines if "FATAL:" in line]
    return " ".join((refusals or lines or ["no reason given"])[0].split())


def _find_remedy(reason: str) -> str:
    if "no password supplied" in reason:
        return "Set PGPASSWORD."
    _, is_refusal, refusal = reason.partition("FATAL: ")
    if not is_refusal:
        return "Is the server running? Check PGHOST and PGPORT."
    return next((remedy for begin, remedy in _REMEDIES.items() if refusal.startswith(begin)), "")


def _find_local_remedy(reason: str = "") -> str:
    if "FATAL: " in reason:  # it is up
        return "Is the disk full? See postgres.log in FUNNEL_HOME."
    if LOCAL_HOST_VARIABLE in os.environ:
        return f"Start the server of {LOCAL_HOST_VARIABLE}, or unset it for the embedded one."
    return "Type `funnel db start`."
