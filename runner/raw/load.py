"""Load the raw tables from CSV files: streamed, and all of them or nothing."""

import codecs
import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psycopg2
from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from runner.errors import FunnelError
from runner.masking import mask_emails
from runner.raw.cells import (
    INVISIBLE,
    cell_type,
    create_domains,
    domain_cells,
    drop_domains,
    file_type,
    stored_value,
)
from runner.raw.files import find_files
from runner.raw.tables import create_indexes, create_tables, drop_indexes, lock_tables
from runner.warehouse.on_postgres import PostgresEngine
from runner.warehouse.raw_contract import (
    RAW_TABLES,
    RawColumn,
    RawTable,
    check_raw_contract,
)

_CHUNK = 1 << 18
_LONGEST_HEADER = 1 << 20
_QUOTE = b'"'
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# With YMD a date such as 01/02/2024 is refused instead of guessed. The memory is for sorting.
_SETTINGS = """
    set local timezone = 'UTC';
    set local datestyle = 'ISO, YMD';
    set local work_mem = '256MB';
    set local maintenance_work_mem = '256MB'
"""

_END_OF_DATA = re.compile(rb"\n\\\.\r?\n")
_READS_DOT_AS_DATA = 180000
"""The first server that does not end a CSV at a line with nothing but a backslash and a dot."""

_COPY_CONTEXT = re.compile(
    r'^COPY \S+, line (?P<line>\d+)(?:, column (?P<column>\S+): "(?P<value>.*)"$)?',
    re.MULTILINE | re.DOTALL,
)
_HINT = "Fix the file and load again; nothing was written."
_BROKEN_RECORD = {
    "unterminated": "a quote opens here and is never closed",
    "missing": "has fewer columns than the header",
    "extra": "has more columns than the header",
}


@dataclass(frozen=True)
class LoadResult:
    """What a load wrote."""

    rows: Mapping[str, int]
    """Rows written, by table."""

    seconds: float


@dataclass(frozen=True)
class _CsvFile:
    """One file, its header read and checked."""

    path: Path
    table: RawTable
    columns: tuple[RawColumn, ...]
    """The file's columns in the file's order; those funnel does not need are text."""

    header: bytes
    """The first record as it stands; a quoted name can spread it over several lines."""

    @property
    def staging_table(self) -> sql.Identifier:
        return sql.Identifier("pg_temp", f"{self.table.name}_file")


class _Stream(io.BufferedIOBase):
    """A CSV file as COPY reads it: an empty header, every line ending in a line feed.

    Postgres counts lines by the line ending of the first one. Spreadsheets end records in CR LF
    and lines within a cell in LF, so that without this the lines in its errors would be wrong.
    """

    def __init__(
        self,
        file: BinaryIO,
        header: bytes,
        progress: Callable[[int], None] | None,
        *,
        ends_early: bool,
    ) -> None:
        self.file = file
        self.header = header
        self.progress = progress
        self.failure: BaseException | None = None
        self.ends_early = ends_early
        self._last_bytes = b"\n"

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next chunk; psycopg2 calls this."""
        try:
            if self.file.tell() == 0:
                self._report(self.file.read(len(self.header)))
                return b"\n"
            chunk = self.file.read(-1 if size is None else size)
            while chunk.endswith(b"\r") and (next_byte := self.file.read(1)):
                chunk += next_byte
            self._report(chunk)
            if self.ends_early:
                self._look_for_end(chunk)
            return chunk.replace(b"\r\n", b"\n")
        except BaseException as error:  # psycopg2 would replace it, even Ctrl-C, by its own error
            self.failure = error
            raise

    def _report(self, chunk: bytes) -> None:
        if self.progress:
            self.progress(len(chunk))

    def _look_for_end(self, chunk: bytes) -> None:
        """Refuse a line that these servers take for the end of the data: the rest would be lost."""
        seen = self._last_bytes + (chunk or b"\n")
        if _END_OF_DATA.search(seen):
            line = _find_line(Path(self.file.name), rb"\.")
            raise FunnelError(
                f"{Path(self.file.name).name} line {line}: holds nothing but \\.",
                hint=_HINT,
            )
        self._last_bytes = seen[-4:]


def load(  # noqa: PLR0913 - two of them are options
    connection: Connection,
    directory: Path,
    raw_schema: str,
    loaded_at_field: str,
    *,
    append: bool = False,
    progress: Callable[[int], None] | None = None,
    before_commit: Callable[[Cursor], None] | None = None,
) -> LoadResult:
    """Load the CSV files of a directory into the raw schema, in one transaction.

    Schema, tables and indexes are created when absent. Tables are emptied, never dropped: views
    depend on them.

    Args:
        connection: A connection outside of a transaction.
        directory: Holds `<table>.csv` for each raw table, in UTF-8; names and headers in any
            case, columns in any order, further columns ignored. Times without an offset are UTC.
        raw_schema: The schema to load into.
        loaded_at_field: The column that gets the time of the load.
        append: Add to the rows that are there instead of replacing them.
        progress: Called with the number of bytes read since the last call.
        before_commit: Called at the end of the transaction, to write with it.

    Raises:
        FunnelError: A file is missing or wrong, a permission is missing, or the database failed.
            Nothing was written.
    """
    started = time.monotonic()
    files = [_read_header(path, table) for table, path in find_files(directory)]
    with _explained(raw_schema), connection, connection.cursor() as cursor:
        cursor.execute(_SETTINGS)
        create_domains(cursor)
        create_tables(cursor, raw_schema, loaded_at_field)
        check_raw_contract(PostgresEngine(connection), raw_schema, loaded_at_field)
        # Everything that takes long comes before the first lock on a table that others read.
        for file in files:
            _copy(cursor, file, progress)
        dropped_indexes: list[str] = []
        if not append:
            tables = [sql.Identifier(raw_schema, table.name) for table in RAW_TABLES]
            lock_tables(cursor, tables)
            cursor.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(tables)))
            dropped_indexes = drop_indexes(cursor, raw_schema)
        # Not now(), which is when the transaction began: a run could have passed it meanwhile.
        cursor.execute("select clock_timestamp()")
        (loaded_at,) = cursor.fetchone() or (None,)
        rows = {
            file.table.name: _insert(cursor, file, raw_schema, {loaded_at_field: loaded_at})
            for file in files
        }
        drop_domains(cursor)
        for definition in dropped_indexes:
            cursor.execute(definition)
        create_indexes(cursor, raw_schema, loaded_at_field)
        for table in RAW_TABLES:
            cursor.execute(sql.SQL("analyze {}").format(sql.Identifier(raw_schema, table.name)))
        if before_commit:
            before_commit(cursor)
    return LoadResult(rows, time.monotonic() - started)


def _read_header(path: Path, table: RawTable) -> _CsvFile:
    needed = {column.name: column for column in table.columns}
    named = [column.name for column in table.columns if not column.is_optional]
    hint = f"Its first line must name {', '.join(named)}."
    try:
        with path.open("rb") as file:
            record = file.readline(_LONGEST_HEADER)
            while record.count(_QUOTE) % 2 and len(record) < _LONGEST_HEADER:
                line = file.readline(_LONGEST_HEADER)
                if not line:
                    break
                record += line
    except OSError as error:
        raise FunnelError(f"cannot read {path.name}: {error.strerror}") from error
    header = _parse_header(path, record, hint)
    if not header:
        raise FunnelError(f"{path.name} is empty", hint=hint)
    names = [name.strip(INVISIBLE).lower() for name in header]
    for name, column in needed.items():
        if name not in names and not column.is_optional:
            raise FunnelError(f"{path.name} has no column {name}", hint=hint)
        if names.count(name) > 1:
            raise FunnelError(f"{path.name} has more than one column {name}", hint=hint)
    return _CsvFile(
        path,
        table,
        tuple(
            needed.get(name, RawColumn(f"extra_{position}", "text", is_free_text=True))
            for position, name in enumerate(names, start=1)
        ),
        record,
    )


def _parse_header(path: Path, record: bytes, hint: str) -> list[str]:
    if b"\0" in record and not record.startswith(_UTF_16):
        raise _not_text(path.name, 1, is_nul=True)
    try:
        text = record.decode("utf-8-sig")
        _check_separator(path, text)
        return next(csv.reader([text], strict=True)) if text.strip() else []
    except UnicodeDecodeError as error:
        raise _not_text(path.name, 1) from error
    except csv.Error as error:
        raise FunnelError(
            f"{path.name} line 1: the header's quoting or line ending is broken", hint=hint
        ) from error


def _check_separator(path: Path, header: str) -> None:
    if header.lower().startswith("sep="):
        raise FunnelError(
            f"{path.name} begins with {header.strip()} instead of its header",
            hint="Remove that line, and separate columns by commas.",
        )
    for sign, name in {";": "semicolons", "\t": "tabs", "|": "bars"}.items():
        if sign in header and "," not in header:
            raise FunnelError(
                f"{path.name} is separated by {name}, not commas",
                hint="Save it as CSV separated by commas.",
            )


def _copy(cursor: Cursor, file: _CsvFile, progress: Callable[[int], None] | None) -> None:
    """Copy a file into a temporary table of its own shape, its times as they are written."""
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), file_type(column))
        for column in file.columns
    ]
    cursor.execute(
        sql.SQL("create temporary table {} ({}) on commit drop").format(
            file.staging_table, sql.SQL(", ").join(columns)
        )
    )
    # Some exports quote every field; "" can then only mean null in a column that is not text.
    typed = [sql.Identifier(column.name) for column in file.columns if column.type != "text"]
    copy = sql.SQL(
        "copy {} from stdin with (format csv, header true, encoding 'UTF8', force_null ({}))"
    ).format(file.staging_table, sql.SQL(", ").join(typed))
    ends_early = cursor.connection.server_version < _READS_DOT_AS_DATA
    try:
        with file.path.open("rb") as binary:
            stream = _Stream(binary, file.header, progress, ends_early=ends_early)
            try:
                cursor.copy_expert(copy, stream, _CHUNK)
            except psycopg2.Error as error:
                if stream.failure:
                    raise stream.failure from None
                if cursor.connection.closed:
                    raise
                # The error quotes the row: personal data are not even for --debug.
                is_personal = file.table.is_personal or mask_emails(str(error)) != str(error)
                raise _explain(error, file) from (None if is_personal else error)
    except OSError as error:
        raise FunnelError(f"cannot read {file.path.name}: {error.strerror}") from error


def _insert(
    cursor: Cursor, file: _CsvFile, raw_schema: str, constants: Mapping[str, object]
) -> int:
    columns = [column for column in file.table.columns if column in file.columns]
    names = [column.name for column in columns]
    values = [stored_value(column) for column in columns]
    # In the order of time a month lies together on disk.
    order = sql.SQL(" order by {}").format(
        sql.Literal(1 + names.index(file.table.event_time or names[0]))
    )
    cursor.execute(
        sql.SQL("insert into {} ({}) select {} from {}{}").format(
            sql.Identifier(raw_schema, file.table.name),
            sql.SQL(", ").join(sql.Identifier(name) for name in (*names, *constants)),
            sql.SQL(", ").join([*values, *(sql.Literal(v) for v in constants.values())]),
            file.staging_table,
            order,
        )
    )
    return cursor.rowcount


def _explain(error: psycopg2.Error, file: _CsvFile) -> FunnelError:
    """Say which file, line, column and value Postgres did not like."""
    name = file.path.name
    reason = (error.diag.message_primary or "").partition("\n")[0]
    place = _COPY_CONTEXT.search(error.diag.context or "")
    if place is None or not isinstance(error, (psycopg2.DataError, errors.CheckViolation)):
        # Not a matter of one row, or a server that speaks another language.
        if isinstance(error, errors.CheckViolation):
            reason = f"a value is not {domain_cells(error.diag.datatype_name or '').is_a}"
        elif file.table.is_personal:
            reason = type(error).__name__
        return FunnelError(f"cannot load {name}: {mask_emails(reason)}")
    line = int(place["line"]) - 1 + file.header.count(b"\n")
    if isinstance(error, errors.CharacterNotInRepertoire):
        return _not_text(name, line, is_nul=reason.endswith(" 0x00"))
    line = _first_line(file.path, line)
    if place["column"]:
        column = next(c for c in file.columns if c.name == place["column"])
        cells = cell_type(column)
        is_json = column.type != "jsonb" or isinstance(error, errors.CheckViolation)
        expected = cells.is_a if is_json else "JSON"
        value = json.dumps(mask_emails(place["value"]), ensure_ascii=False)
        verdict = f"not {expected}" if file.table.is_personal else f"{value} is not {expected}"
        return FunnelError(f"{name} line {line}, column {column.name}: {verdict}", cells.hint)
    said = _BROKEN_RECORD.get(reason.partition(" ")[0], reason)
    return FunnelError(
        f"{name} line {line}: {said}",
        hint=_HINT,
    )


def _not_text(name: str, line: int, *, is_nul: bool = False) -> FunnelError:
    if is_nul:
        return FunnelError(
            f"{name} line {line} holds a NUL byte",
            "The file is damaged, or not in UTF-8: save it again as CSV in UTF-8.",
        )
    return FunnelError(f"{name} line {line} is not UTF-8", "Save the file as CSV in UTF-8.")


def _find_line(path: Path, content: bytes) -> int:
    with path.open("rb") as file:
        return next(number for number, line in enumerate(file, start=1) if line.strip() == content)


def _first_line(path: Path, last_line: int) -> int:
    """Return the line on which the record begins that ends on this line.

    Postgres counts to the end of a record, which quoted fields can spread over many lines.
    """
    first_line, in_quotes = 1, False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not in_quotes:
                first_line = number
            if number == last_line:
                break
            in_quotes ^= line.count(_QUOTE) % 2 == 1
    return first_line


@contextmanager
def _explained(raw_schema: str) -> Iterator[None]:
    """Turn what the database refuses into an error a person can act on."""
    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise FunnelError(
            f"no permission to load into schema {raw_schema}: {error.diag.message_primary}",
            hint="The role needs to create the schema and own its tables: ask the database's "
            "owner, or use another role.",
        ) from error
    except psycopg2.Error as error:
        # The rollback on a lost connection fails as well, and would hide why it was lost.
        first = error.__context__ if isinstance(error.__context__, psycopg2.Error) else error
        reason = first.diag.message_primary or str(first)
        raise FunnelError(
            f"the load into schema {raw_schema} failed: {reason.strip().partition(chr(10))[0]}",
            hint="Nothing was written.",
        ) from error
