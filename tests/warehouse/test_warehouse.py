"""Connections: the right server from the right variables, and every failure in one line."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
import pytest
from homes import Funnel, ask
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case
from servers import TcpPostgres, find_free_port

from runner.errors import ExitCode, FunnelError
from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.warehouse.connection import connect, open_postgres, table_exists

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tcp_server() -> Iterator[TcpPostgres]:
    with TcpPostgres() as server:
        yield server


@pytest.fixture
def prod(tcp_server: TcpPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name, value in tcp_server.environment.items():
        monkeypatch.setenv(name, value)
    return Project(ROOT, tmp_path / "home", target="prod")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Not pytest's folder: every pytest that starts closes that to the server's user.
    with TemporaryDirectory(prefix="funnel-") as name:
        yield Path(name)


@pytest.fixture
def local(home: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("FUNNEL_LOCAL_HOST", raising=False)
    return Project(ROOT, home)


def refuse(project: Project) -> FunnelError:
    """Return the error of a connection that must fail, checked for what all of them share."""
    with pytest.raises(FunnelError) as caught:
        connect(project)
    error = caught.value
    assert error.exit_code == ExitCode.COULD_NOT_RUN
    assert "\n" not in error.message + error.hint
    assert error.hint
    password = os.environ.get("PGPASSWORD")
    assert not password or password not in f"{error.message} {error.hint} {error.__cause__}"
    return error


def test_connect_reads_the_variables_of_the_profile(prod: Project) -> None:
    with closing(connect(prod)) as connection, connection.cursor() as cursor:
        cursor.execute("select current_setting('port'), current_setting('application_name')")
        assert cursor.fetchone() == (os.environ["PGPORT"], "funnel")


def test_a_read_leaves_no_transaction_open(prod: Project) -> None:
    with closing(connect(prod)) as reader, closing(connect(prod)) as other:
        with reader.cursor() as cursor:
            cursor.execute("create table public.read_by_funnel (id integer)")
            cursor.execute("select * from public.read_by_funnel")
        with other.cursor() as cursor:
            cursor.execute("set lock_timeout = '2s'")
            cursor.execute("drop table public.read_by_funnel")


def test_a_with_block_is_one_transaction(prod: Project) -> None:
    with closing(connect(prod)) as connection:
        with pytest.raises(psycopg2.DataError), connection, connection.cursor() as cursor:
            cursor.execute("create table public.half (id integer)")
            cursor.execute("insert into public.half values ('x')")
        with connection.cursor() as cursor:
            cursor.execute("select to_regclass('public.half')")
            assert cursor.fetchone() == (None,)


def test_a_wrong_password(prod: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2-is-wrong")
    error = refuse(prod)
    assert 'password authentication failed for user "postgres"' in error.message
    assert error.hint == "Check PGUSER and PGPASSWORD."


def test_no_password(prod: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    error = refuse(prod)
    assert "no password supplied" in error.message
    assert error.hint == "Set PGPASSWORD."


def test_an_unknown_database(prod: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATABASE", "nowhere")
    error = refuse(prod)
    assert 'database "nowhere" does not exist' in error.message
    assert error.hint == "Check PGDATABASE."


def test_no_server(prod: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    port = str(find_free_port())
    monkeypatch.setenv("PGPORT", port)
    monkeypatch.setenv("PGHOST", "localhost")
    error = refuse(prod)
    assert "cannot connect to prod" in error.message
    assert port in error.message
    assert error.hint == "Is the server running? Check PGHOST and PGPORT."


def test_an_unknown_host(prod: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    assert "nowhere.invalid" in refuse(prod).message


@pytest.mark.parametrize("port", ["abc", "0", "-1", "65536", "5432; drop", "", "٣", "1" * 5000])
def test_a_port_that_is_none(prod: Project, monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PGPORT", port)
    assert refuse(prod).message == "PGPORT is not the number of a port"


def test_unset_variables_are_named(prod: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGUSER")
    assert refuse(prod).message == "PGUSER is not set, which --target prod needs"
    monkeypatch.setenv("PGDATABASE", "")
    assert refuse(prod).message == "PGUSER and PGDATABASE are not set, which --target prod needs"


@pytest.mark.parametrize("name", ["PGHOST", "PGUSER", "PGDATABASE"])
def test_a_url_in_a_variable_is_not_shown(
    prod: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"postgresql://ada:{os.environ['PGPASSWORD']}@host/db")
    assert refuse(prod).message == f"{name} holds a URL"


def test_open_warehouse_connects_and_closes(prod: Project) -> None:
    with open_postgres(prod) as connection:
        assert connection.closed == 0
    assert connection.closed
    assert not prod.home.exists()


def test_open_warehouse_fails_before_its_block(
    prod: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATABASE", "nowhere")
    with pytest.raises(FunnelError), open_postgres(prod):
        pytest.fail("the block runs")


def test_local_has_its_server_for_the_duration(local: Project) -> None:
    server = LocalPostgres(local.home)
    with open_postgres(local) as connection:
        assert os.environ["FUNNEL_LOCAL_HOST"] == str(server.socket_dir)
        with open_postgres(local) as second, second.cursor() as cursor:
            cursor.execute("select current_setting('data_directory')")
            assert cursor.fetchone() == (str(server.data_directory),)
        assert os.environ["FUNNEL_LOCAL_HOST"] == str(server.socket_dir)
        assert connection.closed == 0
    assert "FUNNEL_LOCAL_HOST" not in os.environ
    assert not server.is_running()


def test_local_does_not_mind_the_variables_of_other_targets(
    local: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGHOST"):
        monkeypatch.setenv(name, "1")
    with open_postgres(local) as connection, connection.cursor() as cursor:
        cursor.execute("select current_user::text, current_database()::text")
        assert cursor.fetchone() == ("postgres", "postgres")


LIBPQ = {
    "PGHOSTADDR": "192.0.2.1",
    "PGSERVICE": "elsewhere",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGGSSENCMODE": "require",
    "PGCHANNELBINDING": "require",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGREQUIREPEER": "somebody",
    "PGTARGETSESSIONATTRS": "standby",
    "PGLOADBALANCEHOSTS": "nonsense",
    "PGCLIENTENCODING": "LATIN1",
    "PGTZ": "Asia/Tokyo",
    "PGDATESTYLE": "SQL, DMY",
    "PGAPPNAME": "x",
    "PGCONNECT_TIMEOUT": "nonsense",
    "PGMINPROTOCOLVERSION": "nonsense",
}
"""Variables of libpq that lead to another server, to none, or to another session."""

_SESSION = """
    select
        inet_server_addr(), current_setting('default_transaction_read_only'),
        current_setting('client_encoding'), current_setting('timezone'),
        current_setting('datestyle'), current_setting('application_name')
"""


@pytest.mark.parametrize(
    ("target", "name"),
    # prod follows PGSSLMODE, as docs/data.md says.
    [
        (target, name)
        for target in ("local", "prod")
        for name in LIBPQ
        if (target, name) != ("prod", "PGSSLMODE")
    ],
)
def test_no_further_variable_of_libpq_is_followed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, target: str, name: str
) -> None:
    project: Project = request.getfixturevalue(target)
    with open_postgres(project) as connection:
        usual = ask(connection, _SESSION)
        monkeypatch.setenv(name, LIBPQ[name])
        with open_postgres(project) as second:
            assert ask(second, _SESSION) == usual
            # dbt, and what is started from here, connect by themselves.
            kept = [variable for variable in os.environ if variable.startswith("PG")]
            assert kept == ["PGREQUIREPEER"] or set(kept) <= set(DOCUMENTED)
            assert (name in kept) == (name == "PGREQUIREPEER" and target == "local")
        assert os.environ[name] == LIBPQ[name]


DOCUMENTED = (
    *("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGPASSFILE"),
    *("PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"),
)


def test_the_page_of_targets_lists_the_variables_that_are_read() -> None:
    said = re.findall(r"PG[A-Z]+", (ROOT / "docs" / "data.md").read_text())
    assert set(said) == set(DOCUMENTED)


def test_tls_and_a_password_file_are_asked_for_by_variables(
    prod: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "passwords"
    file.write_text(f"*:*:*:*:{os.environ['PGPASSWORD']}")
    file.chmod(0o600)
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(file))
    connect(prod).close()
    monkeypatch.setenv("PGSSLMODE", "require")
    assert "server does not support SSL" in refuse(prod).message


def test_dbt_and_psql_reach_the_embedded_server_whatever_libpq_reads(
    demo: Funnel, tmp_path: Path
) -> None:
    service = tmp_path / "services"
    service.write_text("[elsewhere]\nhostaddr=192.0.2.1\nconnect_timeout=2\n")
    aimed = Funnel(
        demo.home,
        {
            **{"PGHOSTADDR": "192.0.2.1", "PGSERVICE": "elsewhere"},
            **{"PGSERVICEFILE": str(service), "PGCONNECT_TIMEOUT": "2"},
        },
    )
    assert aimed("freshness").returncode == 0
    address = "select coalesce(inet_server_addr()::text, 'socket')"
    assert aimed.done("db", "psql", "--", "-X", "-A", "-t", "-c", address).stdout == "socket\n"
    variables = aimed.done("db", "exec", "--", "env").stdout.splitlines()
    kept = [line for line in variables if line.startswith("PG")]
    assert [line.partition("=")[0] for line in kept] == ["PGREQUIREPEER"]


def test_a_server_of_the_users_own_is_respected(
    local: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LocalPostgres(local.home)
    project = Project(ROOT, tmp_path / "unused")
    with other.session():
        monkeypatch.setenv("FUNNEL_LOCAL_HOST", str(other.socket_dir))
        with open_postgres(project) as connection, connection.cursor() as cursor:
            cursor.execute("select current_setting('data_directory')")
            assert cursor.fetchone() == (str(other.data_directory),)
        assert os.environ["FUNNEL_LOCAL_HOST"] == str(other.socket_dir)
        assert other.is_running()
    assert not project.home.exists()
    with pytest.raises(FunnelError) as caught, open_postgres(project):
        pass
    assert "unset it" in caught.value.hint


def test_the_variable_may_name_the_embedded_server_itself(
    local: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = os.path.relpath(LocalPostgres(local.home).socket_dir)
    monkeypatch.setenv("FUNNEL_LOCAL_HOST", given)
    with open_postgres(local) as connection:
        assert connection.closed == 0
    assert os.environ["FUNNEL_LOCAL_HOST"] == given


def test_connect_to_local_without_a_server_says_what_to_type(local: Project) -> None:
    assert refuse(local).hint == "Type `funnel db start`."


@pytest.fixture
def connection(prod: Project) -> Iterator[Connection]:
    with closing(connect(prod)) as connection:
        yield connection


def test_a_refusal_of_the_embedded_server_does_not_say_to_start_it(local: Project) -> None:
    closed = "update pg_database set datallowconn = {} where datname = 'postgres'"
    with open_postgres(local) as connection:
        with connection.cursor() as cursor:
            cursor.execute(closed.format(False))
        with pytest.raises(FunnelError, match="not currently accepting connections") as caught:
            connect(local)
        with connection.cursor() as cursor:
            cursor.execute(closed.format(True))
    assert caught.value.hint == "Is the disk full? See postgres.log in FUNNEL_HOME."


def test_a_table_that_may_not_be_looked_for_is_named(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("create schema secret; create role reader; set role reader")
    with pytest.raises(FunnelError, match="cannot read secret.daily_deal_stats: permission denied"):
        table_exists(connection, "secret", "daily_deal_stats")
