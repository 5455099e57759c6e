"""The tables of `pipedrive_meta`: ledger and lock, created by one macro for dbt and the runner."""

from pathlib import Path

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.warehouse.connection import create_schema, reading

EVENTS = "run_events"
LOCK = "run_lock"

_MACROS = Path(__file__).resolve().parents[2] / "macros" / "ledger"


def create_ledger(connection: Connection, schema: str) -> None:
    """Create what is not there yet, with what an earlier version has recorded.

    Raises:
        FunnelError: This role may not.
    """
    create_schema(connection, schema)
    create, take_over, runs = (
        text[text.index("-%}") + 3 : text.rindex("{%-")]
        for name in ("create_ledger", "take_over_ledger", "ledger_runs")
        for text in [(_MACROS / f"{name}.sql").read_text(encoding="utf-8")]
    )
    statement = create.replace("{{ take_over_ledger(meta) }}", take_over)
    statement = statement.replace("{{ ledger_runs(meta) }}", runs)
    name = sql.Identifier(schema).as_string(connection)
    with reading(schema, EVENTS), connection.cursor() as cursor:
        cursor.execute(statement.replace("{{ meta }}", name))
