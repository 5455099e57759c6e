"""The tables of `pipedrive_meta`: ledger and lock, created by one macro for dbt and the runner."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.warehouse.connection import create_schema, reading

EVENTS = "run_events"
LOCK = "run_lock"

_MACRO = Path(__file__).resolve().parents[2] / "macros" / "ledger" / "create_ledger.sql"


def create_ledger(connection: Connection, schema: str) -> None:
    """Create what is not there yet, with what an earlier version has recorded.

    Raises:
        FunnelError: This role may not.
    """
    create_schema(connection, schema)
    name = sql.Identifier(schema).as_string(connection)
    with reading(schema, EVENTS), connection.cursor() as cursor:
        call_macro("postgres", name, cursor.execute)


def call_macro(engine: str, meta: str, run_query: Callable[[str], object]) -> None:
    """Call the macro, with what dbt would give it.

    Args:
        engine: postgres or spark.
        meta: The quoted name of the schema.
        run_query: Runs one statement.
    """
    import jinja2

    jinja = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)  # noqa: S701
    macros: Any
    adapter = SimpleNamespace(dispatch=lambda name: getattr(macros, f"{engine}__{name}"))
    context = {"adapter": adapter, "run_query": run_query}
    macros = jinja.from_string(_MACRO.read_text(encoding="utf-8"), globals=context).module
    macros.create_ledger(meta)
