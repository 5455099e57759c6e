"""Names from the environment: dev keeps to its own schemas, and no name is SQL."""

from collections.abc import Iterator

import pytest
from homes import Funnel, ask
from servers import TcpPostgres, find_all_binaries

from runner.raw.demo_data import write_demo

RUN = ("run", "--source-dt", "2024-06-30", "--months", "1", "--no-tests", "--no-freshness")
INJECTION = 'x"; create schema injected; --'


@pytest.fixture(scope="module")
def server() -> Iterator[TcpPostgres]:
    """The oldest Postgres that is here."""
    binaries = find_all_binaries()
    with TcpPostgres(binaries[min(binaries, key=int)]) as running:
        yield running


@pytest.fixture(scope="module")
def prod(server: TcpPostgres, tmp_path_factory: pytest.TempPathFactory) -> Funnel:
    """Production, with raw tables and a first run."""
    folder = tmp_path_factory.mktemp("names")
    write_demo(folder / "export")
    funnel = Funnel(folder / "home", {**server.environment, "FUNNEL_TARGET": "prod"})
    funnel.done("load", str(folder / "export"))
    funnel.done(*RUN)
    return funnel


def with_variables(prod: Funnel, **variables: str) -> Funnel:
    return Funnel(prod.home, {**prod.environment, **variables})


def look(server: TcpPostgres) -> list[tuple[object, ...]]:
    """Return every schema, and every table with the file that holds its rows."""
    return ask_server(
        server,
        "select nspname, relname, relfilenode from pg_namespace"
        " left join pg_class on relnamespace = pg_namespace.oid and relkind in ('r', 'v')"
        " where nspname !~ '^pg_' order by 1, 2",
    )


def ask_server(server: TcpPostgres, statement: str) -> list[tuple[object, ...]]:
    with server.connect() as connection:
        return ask(connection, statement)


@pytest.mark.long
@pytest.mark.parametrize(
    "schema", ["pipedrive", "Pipedrive", "pipedrive_reporting", "", "a-1", "a" * 41, INJECTION]
)
def test_dev_writes_under_a_name_of_its_own_or_not_at_all(
    prod: Funnel, server: TcpPostgres, schema: str
) -> None:
    before = look(server)
    dev = with_variables(prod, FUNNEL_TARGET="dev", FUNNEL_DEV_SCHEMA=schema)
    export = str(prod.home.parent / "export")
    for command in (("load", export), ("run",), ("load", export, "--append"), ("status",)):
        outcome = dev(*command)
        assert outcome.returncode == 2, command
        assert "FUNNEL_DEV_SCHEMA must be a name of at most 40 letters" in outcome.stderr
    if schema in ("pipedrive", INJECTION):  # one rule: test_var_rules.py; a parse takes long
        plain = dev.run("dbt", "build", "--target-path", str(prod.home / "plain"))
        assert plain.returncode == 2
        assert "FUNNEL_DEV_SCHEMA must be a name of at most 40 letters" in plain.stdout
    assert look(server) == before


@pytest.mark.long
def test_dev_loads_beside_production(prod: Funnel, server: TcpPostgres) -> None:
    before = set(look(server))
    dev = with_variables(prod, FUNNEL_TARGET="dev", FUNNEL_DEV_SCHEMA="Anna_1")
    export = str(prod.home.parent / "export")
    for refused in ("pipedrive_raw", "Anna_1", "anna_1_raw", "Anna_1_pipedrive_reporting"):
        outcome = dev("load", export, "--vars", f"{{raw_schema: {refused}}}")
        assert outcome.returncode == 2
        assert "Anna_1_pipedrive_raw" in outcome.stderr
    own = ("--vars", "{raw_schema: Anna_1_pipedrive_raw}")
    dev.done("load", export, *own)
    dev.done(*RUN, *own)
    assert before < set(look(server))
    made = {str(schema) for schema, *_ in set(look(server)) - before}
    assert made == {
        f"Anna_1_pipedrive_{part}" for part in ("raw", "staging", "analytics", "reporting", "meta")
    }


@pytest.mark.long
def test_the_report_reader_is_a_name(prod: Funnel, server: TcpPostgres) -> None:
    granting = with_variables(prod, FUNNEL_REPORT_READER="postgres; create schema injected; --")
    outcome = granting(*RUN)
    assert outcome.returncode in (1, 2)
    assert "FUNNEL_REPORT_READER must be a name of letters" in outcome.stderr
    outcome = granting("doctor")
    assert "FUNNEL_REPORT_READER must be a name of letters" in outcome.stdout
    ask_server(server, 'create role "Board"')
    with_variables(prod, FUNNEL_REPORT_READER="Board").done(*RUN)
    may_read = "select has_table_privilege('Board', 'pipedrive_reporting.monthly_stats', 'select')"
    assert ask_server(server, may_read) == [(True,)]
    assert ask_server(server, "select from pg_namespace where nspname = 'injected'") == []
