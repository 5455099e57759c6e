"""Loading files into a lake: by Spark itself, which reads CSV and Parquet wherever it runs."""

import time
from collections.abc import Mapping
from pathlib import Path

from psycopg2 import sql

from runner.console import Console
from runner.errors import FunnelError
from runner.project import Project
from runner.raw.cells import INVISIBLE, TIME_PATTERN
from runner.raw.load import LoadResult
from runner.warehouse.engine import Engine
from runner.warehouse.opening import open_warehouse
from runner.warehouse.raw_contract import RAW_TABLES, RawColumn, RawTable

_VIEW = "file_to_load"
_CSV = "header 'true', multiLine 'true', escape '\"', mode 'FAILFAST'"

_STORED = {
    "bigint": ("bigint", "cast(split_part({cell}, '.', 1) as bigint)"),
    "boolean": ("boolean", "cast({cell} as boolean)"),
    "jsonb": ("string", "{cell}"),
    "text": ("string", "{cell}"),
    "timestamp": ("timestamp", "cast({cell} as timestamp)"),
}
"""For each type of the contract: that of the table, and what is stored of a cell."""

_ACCEPTED = {
    "bigint": "{cell} rlike '^[+-]?[0-9]{{1,18}}([.]0*)?$'",
    "boolean": "try_cast({cell} as boolean) is not null",
    "jsonb": "json_array_length({cell}) is not null or {cell} = 'null'",
    "text": "true",
    "timestamp": "{cell} rlike {time} and try_cast({cell} as timestamp) is not null",
}


def load_into_lake(
    project: Project, directory: Path, console: Console, *, append: bool
) -> LoadResult:
    """Load a file, or a folder, for each raw table: `<table>.csv`, `<table>.parquet` or `<table>/`.

    All cells are checked before the first table is written. Each table is then written by itself.

    Raises:
        FunnelError: A file is missing or wrong.
    """
    started = time.monotonic()
    places = _find_places(directory)
    with (
        open_warehouse(project) as engine,
        console.bar("Loading", 2 * len(places)) as progress,
    ):
        rows = {}
        for table, place in places.items():
            _open(engine, place)
            rows[table.name] = _check(engine, table, place)
            if progress:
                progress(1)
        engine.create_schema(project.raw_schema)
        loaded_at = sql.Literal(engine.now())
        for table, place in places.items():
            _open(engine, place)
            _write(engine, project, table, loaded_at, append=append)
            if progress:
                progress(1)
    return LoadResult(rows, time.monotonic() - started)


def _find_places(directory: Path) -> dict[RawTable, Path]:
    found = {}
    for table in RAW_TABLES:
        names = (f"{table.name}.csv", f"{table.name}.parquet", table.name)
        there = [directory / name for name in names if (directory / name).exists()]
        if len(there) > 1:
            both = " and ".join(path.name for path in there)
            raise FunnelError(f"{directory} holds both {both}", hint="Keep one of them.")
        if there:
            found[table] = there[0].resolve()
        elif not table.is_optional:
            raise FunnelError(
                f"there is no {names[0]} in {directory}, nor {names[1]} or a folder {names[2]}",
                hint="Give the directory that holds a file or a folder for each raw table.",
            )
    return found


def _open(engine: Engine, place: Path) -> None:
    """Let Spark read a file under the name of the view; all its columns as text."""
    is_csv = place.suffix == ".csv"
    engine.query(
        sql.SQL("create or replace temporary view {} using {} options (path {}{})").format(
            sql.Identifier(_VIEW),
            sql.SQL("csv" if is_csv else "parquet"),
            sql.Literal(str(place)),
            sql.SQL(f", {_CSV}" if is_csv else ""),
        )
    )


def _columns(engine: Engine) -> Mapping[str, str]:
    """Return the columns of the file, as they are written, by their names."""
    described = engine.query(sql.SQL("describe table {}").format(sql.Identifier(_VIEW)))
    return {name.strip(INVISIBLE).lower(): name for name, *_ in described}


def _cell(columns: Mapping[str, str], column: RawColumn) -> sql.Composable:
    if column.name not in columns:
        return sql.SQL("cast(null as string)")
    text = sql.SQL("cast({} as string)").format(sql.Identifier(columns[column.name]))
    return sql.SQL("nullif(trim(both {} from {}), '')").format(sql.Literal(INVISIBLE), text)


def _check(engine: Engine, table: RawTable, place: Path) -> int:
    """Return how many rows a file has.

    Raises:
        FunnelError: A column is missing, or a cell is not what its column holds.
    """
    columns = _columns(engine)
    missing = [c.name for c in table.columns if c.name not in columns and not c.is_optional]
    if missing:
        raise FunnelError(
            f"{place.name} has no column {', '.join(missing)}",
            hint="Its first line, or its schema, must name the columns.",
        )
    refused = [
        sql.SQL("count(case when not ({}) then 1 end)").format(
            sql.SQL(_ACCEPTED[column.type]).format(
                cell=_cell(columns, column), time=sql.Literal(TIME_PATTERN)
            )
        )
        for column in table.columns
    ]
    query = sql.SQL("select count(*), {} from {}")
    [(rows, *counts)] = engine.query(
        query.format(sql.SQL(", ").join(refused), sql.Identifier(_VIEW))
    )
    for column, count in zip(table.columns, counts, strict=True):
        if count:
            raise FunnelError(
                f"{place.name}: {count} of {rows} cells of {column.name} are no {column.type}",
                hint="Fix the file and load again; nothing was written.",
            )
    return int(rows)


def _write(
    engine: Engine, project: Project, table: RawTable, loaded_at: sql.Composable, *, append: bool
) -> None:
    name = sql.Identifier(project.raw_schema, table.name)
    columns = _columns(engine)
    types = {column.name: _STORED[column.type][0] for column in table.columns}
    types[project.loaded_at_field] = "timestamp"
    declared = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
        for column, kind in types.items()
    )
    engine.query(sql.SQL("create table if not exists {} ({}) using parquet").format(name, declared))
    cells = [
        sql.SQL(_STORED[column.type][1]).format(cell=_cell(columns, column))
        for column in table.columns
    ]
    engine.query(
        sql.SQL("insert {} table {} ({}) select {}, {} from {}").format(
            sql.SQL("into" if append else "overwrite"),
            name,
            sql.SQL(", ").join(map(sql.Identifier, types)),
            sql.SQL(", ").join(cells),
            loaded_at,
            sql.Identifier(_VIEW),
        )
    )
