"""The loader against a real Postgres: what it accepts, what it refuses, and that it is atomic."""

import ast
import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg2
import pytest
from homes import ROOT
from malformed_exports import GOOD as FILES
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from servers import TcpPostgres, find_all_binaries

from runner.errors import ExitCode, FunnelError
from runner.postgres.server import LocalPostgres
from runner.raw import load as load_module
from runner.raw.files import count_bytes
from runner.raw.load import LoadResult, load
from runner.warehouse.on_postgres import PostgresEngine
from runner.warehouse.raw_contract import ACCEPTED_TYPES, RAW_TABLES, check_raw_contract

RAW = "pipedrive_raw"
LOADED_AT = "_loaded_at"


@pytest.fixture(scope="session")
def load_test_url() -> Iterator[str]:
    """A server of its own, whose databases need not outlive a power cut."""
    # Not in pytest's folder: as root the server runs as another user, and each pytest that starts
    # shuts other users out of the folder that all of them share.
    with TemporaryDirectory(prefix="funnel-load-") as home:
        server = LocalPostgres(Path(home))
        with server.session():
            with closing(psycopg2.connect(server.url())) as administrator:
                administrator.autocommit = True
                administrator.cursor().execute("alter system set fsync = off")
                administrator.cursor().execute("select pg_reload_conf()")
            yield server.url()


@pytest.fixture
def warehouse_connection(load_test_url: str) -> Iterator[Connection]:
    """A connection of its own to an empty database: emptied, which is faster than a new one."""
    with closing(psycopg2.connect(load_test_url)) as connection:
        schemas = select(
            connection,
            "select nspname from pg_namespace"
            " where nspname !~ '^pg_' and nspname <> 'information_schema'",
        )
        drops = [f'drop schema "{schema}" cascade' for (schema,) in schemas]
        run_sql(connection, *drops, "create schema public")
        yield connection


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_bytes(text.encode())
    return folder


@pytest.fixture
def role(warehouse_connection: Connection) -> Iterator[str]:
    """A role without any privilege."""
    with warehouse_connection, warehouse_connection.cursor() as cursor:
        cursor.execute("create role newcomer")
    yield "newcomer"
    with warehouse_connection, warehouse_connection.cursor() as cursor:
        cursor.execute("reset role; drop owned by newcomer; drop role newcomer")


def run_load(connection: Connection, directory: Path, **options: Any) -> LoadResult:  # noqa: ANN401
    return load(connection, directory, RAW, LOADED_AT, **options)


def run_sql(connection: Connection, *statements: str) -> None:
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def select(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def everything(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all raw tables; None of the tables exist: an empty dictionary."""
    rows = {}
    for table in RAW_TABLES:
        with connection, connection.cursor() as cursor:
            cursor.execute("select to_regclass(%s)", (f"{RAW}.{table.name}",))
            if cursor.fetchone() != (None,):
                cursor.execute(
                    sql.SQL("select * from {} order by 1, 2").format(
                        sql.Identifier(RAW, table.name)
                    )
                )
                rows[table.name] = cursor.fetchall()
    return rows


def refusal(connection: Connection, directory: Path, **options: Any) -> FunnelError:  # noqa: ANN401
    """Load, expect one line and exit code 2 and that nothing was written; return the error."""
    before = everything(connection)
    with pytest.raises(FunnelError) as caught:
        run_load(connection, directory, **options)
    assert "\n" not in caught.value.message
    assert caught.value.exit_code is ExitCode.COULD_NOT_RUN
    assert everything(connection) == before
    return caught.value


def test_loads_all_six_files_with_their_types(
    warehouse_connection: Connection, directory: Path
) -> None:
    result = run_load(warehouse_connection, directory)

    assert result.rows == {
        "activity": 2,
        "activity_types": 2,
        "deal_changes": 2,
        "fields": 2,
        "stages": 1,
        "users": 1,
    }
    assert result.seconds > 0
    rows = {
        table: [row[:-1] for row in rows]
        for table, rows in everything(warehouse_connection).items()
    }
    assert rows == {
        "activity": [
            (1, "meeting", 7, 100, True, datetime(2024, 5, 1, 9)),
            (1, "sc_2", None, None, False, datetime(2024, 5, 2, 10, 30)),
        ],
        "activity_types": [(1, "Sales Call 1", True, "meeting"), (2, "Old", False, "old")],
        "deal_changes": [
            (100, datetime(2024, 5, 1, 8), "stage_id", "1"),
            (100, datetime(2024, 5, 3, 8), "lost_reason", None),
        ],
        "fields": [
            (1, "add_time", "Deal created", None),
            (2, "lost_reason", "Lost reason", [{"id": 1, "label": "Price"}]),
        ],
        "pipelines": [],
        "stages": [(1, "Lead Generation", None)],
        "users": [(7, "Ada Secret", "ada@secret.example", datetime(2024, 1, 1))],
    }


def test_creates_what_the_contract_says_and_indexes_the_windows(
    warehouse_connection: Connection, directory: Path
) -> None:
    load(warehouse_connection, directory, "Other raw", "_synced")

    check_raw_contract(PostgresEngine(warehouse_connection), "Other raw", "_synced")
    columns = select(
        warehouse_connection,
        "select column_name, data_type, is_nullable from information_schema.columns"
        " where table_schema = 'Other raw' and table_name = 'activity' order by ordinal_position",
    )
    assert columns[-2:] == [
        ("due_to", "timestamp without time zone", "YES"),
        ("_synced", "timestamp with time zone", "NO"),
    ]
    indexes = (
        "select regexp_replace(indexdef, '.* ON ', '') from pg_indexes"
        " where schemaname = 'Other raw' order by 1"
    )
    expected = [
        ('"Other raw".activity USING btree (_synced)',),
        ('"Other raw".activity USING btree (deal_id)',),
        ('"Other raw".activity USING btree (due_to)',),
        ('"Other raw".deal_changes USING btree (_synced)',),
        ('"Other raw".deal_changes USING btree (change_time)',),
        ('"Other raw".deal_changes USING btree (deal_id)',),
    ]
    assert select(warehouse_connection, indexes) == expected
    load(warehouse_connection, directory, "Other raw", "_synced")
    assert select(warehouse_connection, indexes) == expected


def test_a_partial_index_is_not_the_one_a_run_needs(
    warehouse_connection: Connection, directory: Path
) -> None:
    run_load(warehouse_connection, directory)
    run_sql(
        warehouse_connection,
        f"drop index {RAW}.activity_due_to_idx",
        f"create index only_done on {RAW}.activity (due_to) where done",
    )
    run_load(warehouse_connection, directory)
    indexes = select(
        warehouse_connection,
        "select indexname from pg_indexes where tablename = 'activity' and indexdef ~ 'due_to'",
    )
    assert sorted(indexes) == [("activity_due_to_idx",), ("only_done",)]


def test_loading_again_keeps_indexes_as_they_are(
    warehouse_connection: Connection, directory: Path
) -> None:
    run_load(warehouse_connection, directory)
    run_sql(
        warehouse_connection,
        f'create index "Of my own" on {RAW}.activity (lower(type), due_to desc) where done',
        f"create unique index by_id on {RAW}.users (id) include (name) with (fillfactor = 70)",
        f"alter table {RAW}.stages add primary key (stage_id)",
    )
    indexes = f"select indexdef from pg_indexes where schemaname = '{RAW}' order by 1"
    before = select(warehouse_connection, indexes)
    assert len(before) == 9
    for append in (False, True):
        (directory / "users.csv").write_text(f"id,name,email,modified\n{8 + append},,,\n")
        (directory / "stages.csv").write_text(f"stage_id,stage_name\n{8 + append},A\n")
        run_load(warehouse_connection, directory, append=append)
        assert select(warehouse_connection, indexes) == before
    valid = "select count(*) from pg_index where not indisvalid"
    assert select(warehouse_connection, valid) == [(0,)]


def test_analyzes_the_tables(warehouse_connection: Connection, directory: Path) -> None:
    run_load(warehouse_connection, directory)
    counts = select(
        warehouse_connection,
        f"select relname, reltuples from pg_class where relnamespace = '{RAW}'::regnamespace"
        " and relkind = 'r' and reltuples < 0",
    )
    assert counts == []


def test_loaded_at_is_the_one_time_of_the_load(
    warehouse_connection: Connection, directory: Path
) -> None:
    before = datetime.now(timezone.utc)
    run_load(warehouse_connection, directory)
    after = datetime.now(timezone.utc)

    times = {row[-1] for rows in everything(warehouse_connection).values() for row in rows}
    assert len(times) == 1
    assert before - timedelta(seconds=1) <= times.pop() <= after + timedelta(seconds=1)


def test_loading_again_replaces_and_keeps_the_views(
    warehouse_connection: Connection, directory: Path
) -> None:
    run_load(warehouse_connection, directory)
    run_sql(warehouse_connection, f"create view stage_names as select * from {RAW}.stages")
    (directory / "stages.csv").write_text("stage_id,stage_name\n2,Qualified lead\n")

    run_load(warehouse_connection, directory)

    assert select(warehouse_connection, "select stage_id, stage_name from stage_names") == [
        (2, "Qualified lead")
    ]
    assert len(everything(warehouse_connection)["activity"]) == 2


def test_append_adds_with_a_time_of_its_own(
    warehouse_connection: Connection, directory: Path
) -> None:
    run_load(warehouse_connection, directory, append=True)
    result = run_load(warehouse_connection, directory, append=True)

    assert result.rows["activity"] == 2
    rows = everything(warehouse_connection)["activity"]
    assert len(rows) == 4
    assert len({row[-1] for row in rows}) == 2


def test_a_header_alone_is_a_table_without_rows(
    warehouse_connection: Connection, directory: Path
) -> None:
    (directory / "stages.csv").write_text("stage_id,stage_name")
    assert run_load(warehouse_connection, directory).rows["stages"] == 0


def test_works_on_a_connection_in_autocommit(
    warehouse_connection: Connection, directory: Path
) -> None:
    warehouse_connection.autocommit = True
    run_load(warehouse_connection, directory)
    (directory / "users.csv").write_text("id,name,email,modified\nx,,,\n")
    refusal(warehouse_connection, directory)


def test_leaves_the_settings_of_the_session_alone(
    warehouse_connection: Connection, directory: Path
) -> None:
    run_sql(warehouse_connection, "set timezone = 'Asia/Tokyo'", "set datestyle = 'ISO, DMY'")
    run_load(warehouse_connection, directory)
    assert select(warehouse_connection, "show timezone") == [("Asia/Tokyo",)]
    assert select(warehouse_connection, "show datestyle") == [("ISO, DMY",)]
    assert everything(warehouse_connection)["activity"][0][5] == datetime(2024, 5, 1, 9)


def test_takes_headers_and_names_in_any_case_and_order_with_more_columns(
    warehouse_connection: Connection, directory: Path
) -> None:
    (directory / "activity.csv").unlink()
    (directory / "ACTIVITY.CSV").write_bytes(
        b"\xef\xbb\xbfDUE_TO,Label,Activity_ID, done ,TYPE,Label,DEAL_ID,ASSIGNED_TO_USER\r\n"
        b"2024-05-01T09:00:00,a,5,t,meeting,b,100,7\r\n"
    )
    run_load(warehouse_connection, directory)
    assert everything(warehouse_connection)["activity"][0][:-1] == (
        5,
        "meeting",
        7,
        100,
        True,
        datetime(2024, 5, 1, 9),
    )


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_takes_a_header_that_spans_lines(
    warehouse_connection: Connection, directory: Path, line_end: str
) -> None:
    lines = ['"Note\non two lines",stage_id,stage_name', "x,1,A", "y,?,B"]
    (directory / "stages.csv").write_bytes(line_end.join(lines).encode())
    assert refusal(warehouse_connection, directory).message == (
        'stages.csv line 4, column stage_id: "?" is not a bigint'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01T09:00:00", datetime(2024, 5, 1, 9)),
        ("2024-05-01 09:00:00.25", datetime(2024, 5, 1, 9, 0, 0, 250000)),
        ("2024-05-01T00:30:00+02:00", datetime(2024, 4, 30, 22, 30)),
        ("2024-05-01T09:00:00Z", datetime(2024, 5, 1, 9)),
        ("2024-05-01 23:00:00-05", datetime(2024, 5, 2, 4)),
        ("2024-05-01", datetime(2024, 5, 1)),
        ("2024-05-01 09:00", datetime(2024, 5, 1, 9)),
        ("2024-05-01T09:00:00+0530", datetime(2024, 5, 1, 3, 30)),
        # A seventh digit would round into the next month.
        ("2024-05-31T23:59:59.9999999Z", datetime(2024, 5, 31, 23, 59, 59, 999999)),
        ("2024-05-31 23:59:59.999999999+00:00", datetime(2024, 5, 31, 23, 59, 59, 999999)),
        ("", None),
        ('""', None),
    ],
)
def test_reads_timestamps_as_utc_unless_they_say_otherwise(
    warehouse_connection: Connection, directory: Path, text: str, expected: datetime | None
) -> None:
    (directory / "deal_changes.csv").write_text(
        f"deal_id,change_time,changed_field_key,new_value\n1,{text},stage_id,1\n"
    )
    run_load(warehouse_connection, directory)
    assert select(warehouse_connection, f"select change_time from {RAW}.deal_changes") == [
        (expected,)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("True", True), ("False", False), ("t", True), ("f", False), ("1", True), ("0", False)]
    + [("Yes", True), ("No", False), ("TRUE", True), ("", None)],
)
def test_reads_booleans_as_exports_write_them(
    warehouse_connection: Connection, directory: Path, text: str, expected: bool | None
) -> None:
    (directory / "activity.csv").write_text(
        "activity_id,type,assigned_to_user,deal_id,done,due_to\n"
        f"1,meeting,7,100,{text},2024-05-01\n"
    )
    run_load(warehouse_connection, directory)
    assert select(warehouse_connection, f"select done from {RAW}.activity") == [(expected,)]


def test_an_empty_text_is_null_unless_quoted(
    warehouse_connection: Connection, directory: Path
) -> None:
    (directory / "stages.csv").write_text('stage_id,stage_name\n1,\n2,""\n')
    run_load(warehouse_connection, directory)
    rows = everything(warehouse_connection)["stages"]
    assert [row[:2] for row in rows] == [(1, None), (2, "")]


ACTIVITY = "activity_id,type,assigned_to_user,deal_id,done,due_to\n"
CHANGES = "deal_id,change_time,changed_field_key,new_value\n"
FIELDS = "id,field_key,name,field_value_options\n"
GOOD_CHANGE = "100,2024-05-01 08:00:00,stage_id,1\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param(
            "activity.csv",
            ACTIVITY + 15 * "1,meeting,7,100,True,2024-05-01\n" + "1,meeting,7,1,True,2024-13-45\n",
            'activity.csv line 17, column due_to: "2024-13-45" is not a timestamp',
            id="impossible date",
        ),
        pytest.param(
            "activity.csv",
            ACTIVITY.upper() + "1,meeting,7,1,True,01/02/2024\n",
            'activity.csv line 2, column due_to: "01/02/2024" is not a timestamp',
            id="ambiguous date",
        ),
        pytest.param(
            "activity.csv",
            ACTIVITY + "1,meeting,7,1,maybe,2024-05-01\n",
            'activity.csv line 2, column done: "maybe" is not a boolean',
            id="boolean",
        ),
        pytest.param(
            "activity.csv",
            ACTIVITY + "1,meeting,7,99999999999999999999,True,2024-05-01\n",
            'activity.csv line 2, column deal_id: "99999999999999999999" is not a bigint',
            id="number too large",
        ),
        pytest.param(
            "deal_changes.csv",
            CHANGES + '"\n1\n2\n""\n",2024-05-01,stage_id,1\n',
            'deal_changes.csv line 2, column deal_id: "\\n1\\n2\\n\\"\\n" is not a bigint',
            id="value of several lines",
        ),
        pytest.param(
            "deal_changes.csv",
            CHANGES + '1,2024-05-01,note,"one\ntwo\nthree"\n' + GOOD_CHANGE + "1,soon,stage_id,1\n",
            'deal_changes.csv line 6, column change_time: "soon" is not a timestamp',
            id="after a value of several lines",
        ),
        pytest.param(
            "deal_changes.csv",
            CHANGES + '1,2024-05-01,note,"one\ntwo"\n1,soon,stage_id,1\n',
            'deal_changes.csv line 4, column change_time: "soon" is not a timestamp',
            id="after a first value of several lines",
        ),
        pytest.param(
            "deal_changes.csv",
            (CHANGES + '1,2024-05-01,note,"one~two~three"\n1,soon,stage_id,1\n')
            .replace("\n", "\r\n")
            .replace("~", "\n"),
            'deal_changes.csv line 5, column change_time: "soon" is not a timestamp',
            id="written by a spreadsheet: records end in CR LF, lines in a cell in LF",
        ),
        pytest.param(
            "deal_changes.csv",
            CHANGES + GOOD_CHANGE + '1,soon,note,"one\ntwo"\n' + GOOD_CHANGE,
            'deal_changes.csv line 3, column change_time: "soon" is not a timestamp',
            id="in a record of several lines",
        ),
        pytest.param(
            "fields.csv",
            FIELDS + '1,lost_reason,Lost reason,"[{""id"": 1,"\n',
            'fields.csv line 2, column field_value_options: "[{\\"id\\": 1," is not JSON',
            id="JSON",
        ),
        pytest.param(
            "deal_changes.csv",
            CHANGES + GOOD_CHANGE + '1,2024-05-01,note,"never closed\n' + 3 * GOOD_CHANGE,
            "deal_changes.csv line 3: a quote opens here and is never closed",
            id="quote never closed",
        ),
        pytest.param(
            "deal_changes.csv",
            CHANGES + GOOD_CHANGE + "1,2024-05-01,stage_id\n",
            "deal_changes.csv line 3: has fewer columns than the header",
            id="too few columns",
        ),
        pytest.param(
            "deal_changes.csv",
            CHANGES + GOOD_CHANGE + "1,2024-05-01,stage_id,1,2\n",
            "deal_changes.csv line 3: has more columns than the header",
            id="too many columns",
        ),
        pytest.param(
            "deal_changes.csv",
            (CHANGES + GOOD_CHANGE + "1,2024-05-01,lost_reason,zu früh\n").encode("latin-1"),
            "deal_changes.csv line 3 is not UTF-8",
            id="Latin-1",
        ),
        pytest.param(
            "deal_changes.csv",
            (CHANGES + '1,2024-05-01,note,"one\ntwo\n' + 'zu früh"\n').encode("latin-1"),
            "deal_changes.csv line 4 is not UTF-8",
            id="Latin-1 in a record of several lines",
        ),
        pytest.param(
            "deal_changes.csv",
            (CHANGES + GOOD_CHANGE).encode("utf-16"),
            "deal_changes.csv line 1 is not UTF-8",
            id="UTF-16",
        ),
        pytest.param(
            "deal_changes.csv",
            (CHANGES + "1,2024-05-01,note,\0\n").encode(),
            "deal_changes.csv line 2 holds a NUL byte",
            id="zero byte",
        ),
        pytest.param("stages.csv", "", "stages.csv is empty", id="empty"),
        pytest.param("stages.csv", b"\xef\xbb\xbf\r\n", "stages.csv is empty", id="blank"),
        pytest.param(
            "stages.csv",
            "stage_id,name\n1,A\n",
            "stages.csv has no column stage_name",
            id="missing column",
        ),
        pytest.param(
            "stages.csv",
            "stage_id;stage_name\n1;A\n",
            "stages.csv is separated by semicolons, not commas",
            id="semicolons",
        ),
        pytest.param(
            "stages.csv",
            "stage_id,STAGE_NAME,Stage_Name\n1,A,B\n",
            "stages.csv has more than one column stage_name",
            id="column twice",
        ),
        pytest.param(
            "stages.csv",
            "stage_id,stage_name\r1,A\r",
            "stages.csv line 1: the header's quoting or line ending is broken",
            id="lines that end in CR alone",
        ),
        pytest.param(
            "stages.csv",
            "stage_id,stage_name\n1,A\r2,B\n",
            "stages.csv line 2: unquoted carriage return found in data",
            id="one line that ends in CR alone",
        ),
        pytest.param(
            "stages.csv",
            'stage_id,"stage_name\n1,A\n',
            "stages.csv line 1: the header's quoting or line ending is broken",
            id="broken header",
        ),
    ],
)
def test_refuses_a_wrong_file_by_file_line_column_and_value(
    warehouse_connection: Connection,
    directory: Path,
    name: str,
    content: str | bytes,
    message: str,
) -> None:
    run_load(warehouse_connection, directory)
    (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(warehouse_connection, directory).message == message


@pytest.mark.parametrize(
    "text",
    ["now", "Today", "TOMORROW", "yesterday", "infinity", "-infinity", "epoch", "allballs"]
    + ["today 04:05", "04:05 tomorrow", " now ", "today UTC"]
    # Two-digit years, other orders, names of months, names of zones.
    + [
        "13.05.24",
        "13.05.24 09:00",
        "24-05-13",
        "05/13/2024",
        "13.05.2024",
        "2024/05/13",
        "2024.05.13",
    ]
    + ["May 13 2024", "13-May-2024", "Mon 2024-05-13", "20240513", "20240513T090000", "J2460444"]
    + ["2024-05-13 09:00 PM", "2024-05-13 09:00 UTC+02:00", "2024-05-13 09:00 GMT+2"]
    + ["2024-05-13 09:00 IST", "2024-05-13 09:00 CST", "2024-05-13 09:00 Europe/Berlin"]
    + ["2024-05-13 BC", "2024-5-3", "12024-05-13", "2024-134", "2024-W20-1", "1715590800"]
    + ["2024-05-13T25:00:00", "2024-02-30", "2024-05-13T09:00:00+25"],
)
def test_refuses_what_is_no_unambiguous_time(
    warehouse_connection: Connection, directory: Path, text: str
) -> None:
    (directory / "activity.csv").write_text(
        ACTIVITY + "1,know-how,7,1,True,2024-05-01\n" + f"1,meeting,7,1,True,{text}\n"
    )
    assert refusal(warehouse_connection, directory).message == (
        f'activity.csv line 3, column due_to: "{text}" is not a timestamp'
    )
    (directory / "activity.csv").write_text(FILES["activity.csv"])
    (directory / "users.csv").write_text(f"id,name,email,modified\n7,Ada Secret,,{text}\n")
    assert refusal(warehouse_connection, directory).message == (
        "users.csv line 2, column modified: not a timestamp"
    )


@pytest.fixture(scope="module", params=find_all_binaries())
def each_server(request: pytest.FixtureRequest) -> Iterator[TcpPostgres]:
    """A Postgres of each version that is here."""
    with TcpPostgres(find_all_binaries()[request.param]) as running:
        yield running


@contextmanager
def connected(server: TcpPostgres) -> Iterator[Connection]:
    """A connection to a server, in which a load is undone at the end."""
    with server.connect() as connection:
        try:
            yield connection
        finally:
            connection.rollback()
            run_sql(connection, f"drop schema if exists {RAW} cascade")


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_line_that_ends_copy_loses_no_row(
    each_server: TcpPostgres, directory: Path, end: str
) -> None:
    rest = 5 * GOOD_CHANGE if end else ""
    (directory / "deal_changes.csv").write_text(f"{CHANGES}{GOOD_CHANGE}\\.{end}{rest}", newline="")
    with connected(each_server) as connection:
        assert re.match("deal_changes.csv line 3[,:] ", refusal(connection, directory).message)


def test_such_a_line_in_a_cell_is_loaded_or_refused(
    each_server: TcpPostgres, directory: Path
) -> None:
    text = f'{CHANGES}1,2024-05-01,lost_reason,"one\n\\.\ntwo"\n{5 * GOOD_CHANGE}'
    (directory / "deal_changes.csv").write_text(text)
    with connected(each_server) as connection:
        try:
            assert run_load(connection, directory).rows["deal_changes"] == 6
        except FunnelError as error:
            assert error.message == "deal_changes.csv line 3: holds nothing but \\."


@pytest.mark.parametrize("before", range(8))
def test_a_line_that_ends_copy_is_found_across_two_reads(
    each_server: TcpPostgres, directory: Path, before: int
) -> None:
    rows = GOOD_CHANGE * (load_module._CHUNK // len(GOOD_CHANGE) - 1)
    padding = "1" * (load_module._CHUNK - before - len(f"{rows}1,,stage_id,\n"))
    (directory / "deal_changes.csv").write_text(
        f"{CHANGES}{rows}1,,stage_id,{padding}\n\\.\n{GOOD_CHANGE}"
    )
    line = rows.count("\n") + 3
    with connected(each_server) as connection:
        message = refusal(connection, directory).message
    assert re.match(f"deal_changes.csv line {line}[,:] ", message)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("stage_id;stage_name", "stages.csv is separated by semicolons, not commas"),
        ("stage_id\tstage_name", "stages.csv is separated by tabs, not commas"),
        ('"stage_id";"stage_name"', "stages.csv is separated by semicolons, not commas"),
        ("stage_id|stage_name", "stages.csv is separated by bars, not commas"),
        ("sep=,\nstage_id,stage_name", "stages.csv begins with sep=, instead of its header"),
        ("sep=;\nstage_id;stage_name", "stages.csv begins with sep=; instead of its header"),
    ],
)
def test_says_which_separator_a_file_has(
    warehouse_connection: Connection, directory: Path, header: str, message: str
) -> None:
    (directory / "stages.csv").write_text(f"{header}\n1;Lead\n")
    assert refusal(warehouse_connection, directory).message == message


def test_takes_such_words_anywhere_else(warehouse_connection: Connection, directory: Path) -> None:
    (directory / "deal_changes.csv").write_text(
        "deal_id,change_time,changed_field_key,new_value,note\n"
        "1,2024-05-01T09:00:00+02:00,lost_reason,No budget now,know\n"
        "1,,lost_reason,Today,infinity\n"
    )
    for _ in range(2):
        run_load(warehouse_connection, directory)
    assert select(
        warehouse_connection, f"select change_time, new_value from {RAW}.deal_changes"
    ) == [(datetime(2024, 5, 1, 7), "No budget now"), (None, "Today")]


def test_the_line_is_right_far_into_a_file(
    warehouse_connection: Connection, directory: Path
) -> None:
    rows = 50_000 * '1,2024-05-01,note,"über\r\nzwei"\r\n'
    (directory / "deal_changes.csv").write_bytes(
        (CHANGES.replace("\n", "\r\n") + rows).encode() + b"1,2024-05-01,note,fr\xfch\r\n"
    )
    assert refusal(warehouse_connection, directory).message == (
        "deal_changes.csv line 100002 is not UTF-8"
    )
    (directory / "deal_changes.csv").write_bytes(
        (CHANGES.replace("\n", "\r\n") + rows).encode() + b"1,2024-05-41,note,\r\n"
    )
    assert refusal(warehouse_connection, directory).message == (
        'deal_changes.csv line 100002, column change_time: "2024-05-41" is not a timestamp'
    )


@pytest.mark.parametrize("padding", ["", "x"])
def test_changes_line_endings_only(
    warehouse_connection: Connection, directory: Path, padding: str
) -> None:
    value = padding + "\r\n" * 300_000 + "a\rb"  # with one of the paddings a chunk ends in CR
    header = CHANGES.replace("\n", "\r\n")
    rows = f'1,2024-05-01,note,"{value}"\r\n2,2024-05-02,note,B'
    (directory / "deal_changes.csv").write_bytes((header + rows).encode())
    run_load(warehouse_connection, directory)
    stored = select(
        warehouse_connection, f"select new_value from {RAW}.deal_changes order by deal_id"
    )
    assert stored == [(value.replace("\r\n", "\n"),), ("B",)]


def test_stores_events_in_the_order_of_time(
    warehouse_connection: Connection, directory: Path
) -> None:
    days = [f"2024-05-{day:02}" for day in (3, 1, 4, 2)]
    rows = "".join(f"1,{day},stage_id,1\n" for day in days)
    (directory / "deal_changes.csv").write_text(CHANGES + rows)
    run_load(warehouse_connection, directory)
    stored = select(
        warehouse_connection,
        f"select cast(cast(change_time as date) as text) from {RAW}.deal_changes order by ctid",
    )
    assert [day for (day,) in stored] == sorted(days)


@pytest.mark.parametrize(
    "row",
    [
        "Ada Secret,7,ada@secret.example,2024-01-01",
        "7,Ada Secret,2024-01-01,ada@secret.example",
        "7,Ada Secret,ada@secret.example",
        "7,Ada Secret,ada@secret.example,2024-01-01,",
        '7,Ada Secret,"ada@secret.example,2024-01-01',
        "7,Ada Secret \udce9,ada@secret.example,2024-01-01",
        "7,Ada Secret,ada@secret.example,2024-01-01\r7,Ada Secret,ada@secret.example,",
    ],
)
def test_never_shows_personal_data(
    warehouse_connection: Connection, directory: Path, row: str
) -> None:
    (directory / "users.csv").write_bytes(
        f"id,name,email,modified\n{row}\n".encode(errors="surrogateescape")
    )
    error = refusal(warehouse_connection, directory)
    assert error.message.startswith("users.csv line 2")
    assert "secret" not in (error.message + error.hint).lower()
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_refuses_a_directory_that_does_not_hold_the_six_files(
    warehouse_connection: Connection, directory: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refusal(warehouse_connection, empty).message == f"there are no files in {empty}"
    nowhere = tmp_path / "nowhere"
    assert refusal(warehouse_connection, nowhere).message == f"there is no directory {nowhere}"
    file = directory / "users.csv"
    assert refusal(warehouse_connection, file).message == f"{file} is not a directory"
    with pytest.raises(FunnelError, match="there are no files"):
        count_bytes(empty)

    (directory / "stages.csv").unlink()
    (directory / "stages.csv").mkdir()
    file.unlink()
    error = refusal(warehouse_connection, directory)
    assert error.message == f"there is no stages.csv, users.csv in {directory}"
    assert "activity.csv" in error.hint


def test_refuses_two_files_of_one_name(warehouse_connection: Connection, directory: Path) -> None:
    (directory / "Users.csv").write_text(FILES["users.csv"])
    if len(list(directory.iterdir())) == len(FILES):
        pytest.skip("this file system does not tell upper from lower case")
    assert refusal(warehouse_connection, directory).message == (
        f"{directory} holds both Users.csv and users.csv"
    )


def test_refuses_a_file_it_cannot_read(
    warehouse_connection: Connection, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_load(warehouse_connection, directory)
    calls = []

    def fail_later(size: int) -> None:
        calls.append(size)
        raise OSError(5, "Input/output error")

    error = refusal(warehouse_connection, directory, progress=fail_later)
    assert error.message == "cannot read activity.csv: Input/output error"
    assert len(calls) == 1

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    assert refusal(warehouse_connection, directory).message == (
        "cannot read activity.csv: Permission denied"
    )
    monkeypatch.setattr(Path, "iterdir", deny)
    assert refusal(warehouse_connection, directory).message == (
        f"cannot read {directory}: Permission denied"
    )


def test_an_error_in_the_last_file_leaves_an_empty_database_empty(
    warehouse_connection: Connection, directory: Path
) -> None:
    (directory / "users.csv").write_text("id,name,email,modified\nx,,,\n")
    assert refusal(warehouse_connection, directory).message == (
        "users.csv line 2, column id: not a bigint"
    )
    assert (
        select(
            warehouse_connection,
            f"select from information_schema.schemata where schema_name = '{RAW}'",
        )
        == []
    )


def test_a_load_waits_for_readers_and_they_never_for_it(
    warehouse_connection: Connection, directory: Path, load_test_url: str
) -> None:
    run_load(warehouse_connection, directory)
    with (
        closing(psycopg2.connect(load_test_url)) as observer,
        closing(psycopg2.connect(load_test_url)) as one,
        closing(psycopg2.connect(load_test_url)) as other,
        ThreadPoolExecutor(1) as aside,
    ):
        try:
            one.cursor().execute("select from pipedrive_raw.deal_changes")
            loading = aside.submit(run_load, warehouse_connection, directory)
            wait_until_load_waits(observer, "pipedrive_raw.deal_changes")
            # A reader that comes to the tables in another order, and one that reads on meanwhile.
            one.cursor().execute("select from pipedrive_raw.activity")
            other.cursor().execute("select from pipedrive_raw.users")
            one.rollback()
            wait_until_load_waits(observer, "pipedrive_raw.users")
            # It holds nothing: who comes now reads all the rest.
            for table in ("activity", "activity_types", "deal_changes", "fields", "stages"):
                one.cursor().execute(f"set lock_timeout = '1s'; select from pipedrive_raw.{table}")
        finally:
            one.rollback()
            other.rollback()
        assert loading.result(60).rows["activity"] == 2


def wait_until_load_waits(observer: Connection, table: str) -> None:
    waiting = f"""
        select from pg_locks
        where not granted and mode = 'AccessExclusiveLock' and relation = to_regclass('{table}')
    """
    deadline = time.monotonic() + 60
    while not select(observer, waiting):
        assert time.monotonic() < deadline


def test_a_load_waits_no_longer_than_its_role_wants_to(
    warehouse_connection: Connection, directory: Path, load_test_url: str
) -> None:
    run_load(warehouse_connection, directory)
    run_sql(warehouse_connection, "set lock_timeout = '300ms'")
    with closing(psycopg2.connect(load_test_url)) as reader:
        reader.cursor().execute("select from pipedrive_raw.deal_changes")
        error = refusal(warehouse_connection, directory)
    assert error.message == (
        "the load into schema pipedrive_raw failed: canceling statement due to lock timeout"
    )


def test_an_interrupt_leaves_everything_as_it_was(
    warehouse_connection: Connection, directory: Path
) -> None:
    run_load(warehouse_connection, directory)
    before = everything(warehouse_connection)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_load(warehouse_connection, directory, progress=interrupt)
    assert everything(warehouse_connection) == before


def test_says_when_the_connection_is_lost(
    warehouse_connection: Connection, directory: Path
) -> None:
    def lose(_: int) -> None:
        with socket.socket(fileno=os.dup(warehouse_connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    with pytest.raises(FunnelError) as caught:
        run_load(warehouse_connection, directory, progress=lose)
    assert caught.value.message == (
        "the load into schema pipedrive_raw failed: server closed the connection unexpectedly"
    )


def test_an_error_that_no_row_is_to_blame_for_names_the_file(
    warehouse_connection: Connection, directory: Path
) -> None:
    run_sql(warehouse_connection, "set statement_timeout = '1s'")
    error = refusal(warehouse_connection, directory, progress=lambda _: time.sleep(0.7))
    assert error.message == (
        "cannot load activity.csv: canceling statement due to statement timeout"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "stages.csv",
            "stage_id,stage_name\nx,A\n",
            "cannot load stages.csv: a value is not a bigint",
        ),
        (
            "users.csv",
            "id,name,email,modified\nAda,7,ada@secret.example,\n",
            "cannot load users.csv: a value is not a bigint",
        ),
    ],
)
def test_a_server_of_another_language_says_what_is_expected(  # noqa: PLR0913
    warehouse_connection: Connection,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
    message: str,
) -> None:
    english = load_module._COPY_CONTEXT.pattern
    german = re.compile(english.replace("line", "Zeile").replace("column", "Spalte"), re.DOTALL)
    monkeypatch.setattr(load_module, "_COPY_CONTEXT", german)
    (directory / name).write_text(content)
    assert refusal(warehouse_connection, directory).message == message


def test_reports_progress_in_bytes(warehouse_connection: Connection, directory: Path) -> None:
    (directory / "stages.csv").write_text("stage_id,stage_name\n" + 50_000 * "1,Stage\n")
    seen: list[int] = []
    run_load(warehouse_connection, directory, progress=seen.append)
    assert len(seen) > len(FILES)
    assert sum(seen) == count_bytes(directory)


def test_says_when_a_permission_is_missing(
    warehouse_connection: Connection, directory: Path, role: str
) -> None:
    run_sql(warehouse_connection, f"set role {role}")
    error = refusal(warehouse_connection, directory)
    assert error.message == (
        "no permission to load into schema pipedrive_raw: permission denied for database postgres"
    )
    run_sql(
        warehouse_connection,
        "reset role",
        f"create schema {RAW}",
        f"grant usage on schema {RAW} to {role}",
        f"set role {role}",
    )
    assert refusal(warehouse_connection, directory).message == (
        "no permission to load into schema pipedrive_raw:"
        " permission denied for schema pipedrive_raw"
    )


def test_needs_no_permission_to_create_what_is_there(
    warehouse_connection: Connection, directory: Path, role: str
) -> None:
    run_load(warehouse_connection, directory)
    run_sql(
        warehouse_connection,
        f"grant usage on schema {RAW} to {role}",
        f"grant select, insert, truncate on all tables in schema {RAW} to {role}",
        f"set role {role}",
    )
    assert run_load(warehouse_connection, directory).rows["activity"] == 2


def test_refuses_tables_of_another_shape(warehouse_connection: Connection, directory: Path) -> None:
    run_load(warehouse_connection, directory)
    run_sql(warehouse_connection, f"alter table {RAW}.stages alter stage_id type smallint")
    (directory / "stages.csv").write_text("stage_id,stage_name\n70000,A\n")
    assert refusal(warehouse_connection, directory).message == (
        "the load into schema pipedrive_raw failed: smallint out of range"
    )
    run_sql(warehouse_connection, f"alter table {RAW}.stages drop stage_name")
    assert refusal(warehouse_connection, directory).message == (
        "table pipedrive_raw.stages has no column stage_name"
    )


def contract_error(connection: Connection) -> FunnelError:
    with pytest.raises(FunnelError) as caught:
        check_raw_contract(PostgresEngine(connection), RAW, LOADED_AT)
    connection.rollback()
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.COULD_NOT_RUN
    return caught.value


def test_the_contract_names_what_is_missing(
    warehouse_connection: Connection, directory: Path
) -> None:
    assert contract_error(warehouse_connection).message == "there is no schema pipedrive_raw"
    run_sql(warehouse_connection, f"create schema {RAW}")
    assert contract_error(warehouse_connection).message == (
        "schema pipedrive_raw has no table activity, activity_types, deal_changes, fields,"
        " stages, users"
    )
    run_load(warehouse_connection, directory)
    check_raw_contract(PostgresEngine(warehouse_connection), RAW, LOADED_AT)
    run_sql(warehouse_connection, f"alter table {RAW}.activity rename due_to to due_at")
    assert contract_error(warehouse_connection).message == (
        "table pipedrive_raw.activity has no column due_to"
    )
    run_sql(
        warehouse_connection,
        f"alter table {RAW}.activity rename due_at to due_to",
        f"alter table {RAW}.deal_changes alter change_time type timestamptz",
    )
    error = contract_error(warehouse_connection)
    assert error.message == (
        "column pipedrive_raw.deal_changes.change_time is a timestamp with time zone, funnel needs"
        " a timestamp without time zone, in UTC"
    )
    assert "`change_time at time zone 'UTC'`" in error.hint
    run_sql(
        warehouse_connection,
        f"alter table {RAW}.deal_changes alter change_time type timestamp(3)",
        f"alter table {RAW}.users drop {LOADED_AT}",
    )
    error = contract_error(warehouse_connection)
    assert error.message == "table pipedrive_raw.users has no column _loaded_at"
    assert "loaded_at_field" in error.hint
    run_sql(warehouse_connection, f"drop table {RAW}.users")
    assert contract_error(warehouse_connection).message == (
        "schema pipedrive_raw has no table users"
    )


@pytest.mark.parametrize(
    ("column", "found", "message", "hint"),
    [
        (
            "activity.deal_id",
            "numeric",
            "a numeric, funnel needs a bigint",
            "cast(deal_id as bigint)",
        ),
        (
            "deal_changes.deal_id",
            "text",
            "a text, funnel needs a bigint",
            "cast(deal_id as bigint)",
        ),
        ("users.id", "double precision", "a double precision, funnel needs a bigint", "cast(id as"),
        ("activity.done", "text", "a text, funnel needs a boolean", "cast(done as boolean)"),
        (
            "deal_changes.new_value",
            "jsonb",
            "a jsonb, funnel needs a text",
            "cast(new_value as text)",
        ),
        (
            "users.modified",
            "timestamptz",
            "a timestamp with time zone, funnel needs a timestamp without time zone, in UTC",
            "modified at time zone 'UTC'",
        ),
        (
            "deal_changes._loaded_at",
            "text",
            "a text, funnel needs a timestamp",
            "to_timestamp(cast(",
        ),
        (
            "activity._loaded_at",
            "bigint",
            "a bigint, funnel needs a timestamp",
            "to_timestamp(cast(",
        ),
        ("stages._loaded_at", "date", "a date, funnel needs a timestamp", "to_timestamp(cast("),
    ],
)
def test_the_contract_refuses_a_type_that_breaks_a_model(  # noqa: PLR0913
    warehouse_connection: Connection,
    directory: Path,
    column: str,
    found: str,
    message: str,
    hint: str,
) -> None:
    run_load(warehouse_connection, directory)
    table, _, name = column.partition(".")
    run_sql(
        warehouse_connection,
        f"alter table {RAW}.{table} alter {name} drop default, alter {name} drop not null",
        f"alter table {RAW}.{table} alter {name} type {found} using null",
    )
    error = contract_error(warehouse_connection)
    assert error.message == f"column {RAW}.{column} is {message}"
    assert hint in error.hint
    assert refusal(warehouse_connection, directory).message == error.message


def test_a_load_time_without_a_zone_needs_a_zone_that_the_server_knows(
    warehouse_connection: Connection, directory: Path
) -> None:
    run_load(warehouse_connection, directory)
    run_sql(warehouse_connection, f"alter table {RAW}.users alter {LOADED_AT} type timestamp")
    error = contract_error(warehouse_connection)
    assert error.message == "column pipedrive_raw.users._loaded_at has no time zone"
    assert "loaded_at_timezone" in error.hint
    check_raw_contract(PostgresEngine(warehouse_connection), RAW, LOADED_AT, "America/New_York")
    for unknown in (
        "Mars/Olympus",
        "GMT+2",
        "+02:00",
    ):  # Postgres takes the last two, sign reversed
        with pytest.raises(FunnelError, match="var loaded_at_timezone must be a name"):
            check_raw_contract(PostgresEngine(warehouse_connection), RAW, LOADED_AT, unknown)


def test_dbt_and_funnel_accept_the_same_types() -> None:
    macro = (ROOT / "macros" / "engine" / "stored_types.sql").read_text()
    kinds = re.search(r"postgres__stored_types.*?return\((\{.*?\})\.get", macro, re.DOTALL)
    assert kinds
    accepted = {name: list(types) for name, types in ACCEPTED_TYPES.items()}
    assert {"boolean": ["boolean"], **ast.literal_eval(kinds[1])} == accepted


def test_the_contract_can_be_checked_without_a_privilege_on_personal_data(
    warehouse_connection: Connection, directory: Path, role: str
) -> None:
    run_load(warehouse_connection, directory)
    run_sql(
        warehouse_connection,
        f"grant usage on schema {RAW} to {role}",
        f"grant select (id) on {RAW}.users to {role}",
        f"set role {role}",
    )
    check_raw_contract(PostgresEngine(warehouse_connection), RAW, LOADED_AT)


def test_the_contract_accepts_views(warehouse_connection: Connection, directory: Path) -> None:
    load(warehouse_connection, directory, "elsewhere", LOADED_AT)
    run_sql(
        warehouse_connection,
        f"create schema {RAW}",
        *(
            f"create view {RAW}.{table.name} as select * from elsewhere.{table.name}"
            for table in RAW_TABLES
        ),
    )
    check_raw_contract(PostgresEngine(warehouse_connection), RAW, LOADED_AT)
