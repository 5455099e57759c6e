"""Malformed exports against a real server: each is refused, or stored as what it means."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest
from homes import ask
from malformed_exports import EXPORTS, MalformedExport
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.errors import FunnelError
from runner.postgres.server import LocalPostgres
from runner.raw.load import load
from runner.warehouse.raw_contract import RAW_TABLES

RAW = "pipedrive_raw"


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Connection]:
    with TemporaryDirectory(prefix="funnel-") as home:
        server = LocalPostgres(Path(home))
        with server.session(), closing(psycopg2.connect(server.url())) as connection:
            ask(connection, "alter system set fsync = off")
            ask(connection, "select pg_reload_conf()")
            connection.autocommit = False
            yield connection


def stored(connection: Connection, file: str) -> list[tuple[object, ...]]:
    """Return the rows of a file's table, without the time of the load and optional columns."""
    (table,) = [table for table in RAW_TABLES if f"{table.name}.csv" == file]
    names = [column.name for column in table.columns if not column.is_optional]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    query = sql.SQL("select {} from {}").format(columns, sql.Identifier(RAW, table.name))
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: ascii(export.name))
def test_an_export_loads_as_it_means_or_is_refused(
    warehouse: Connection, tmp_path: Path, export: MalformedExport
) -> None:
    export.write(tmp_path)
    try:
        load(warehouse, tmp_path, RAW, "_loaded_at")
    except FunnelError as error:
        assert error.message.replace(str(tmp_path), "FOLDER") == export.expected
    else:
        assert stored(warehouse, export.file) == list(export.expected)


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len({export.name for export in EXPORTS}) == len(EXPORTS) >= 150
