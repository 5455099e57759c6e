"""The project's macros, evaluated by the real dbt on a server of their own."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from dbt.cli.main import dbtRunner
from homes import ROOT, dbt_server
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class in lower case

from runner.project import Project
from runner.transform.dbt_runner import Dbt, dbt_arguments


class Macros:
    """The project's macros, evaluated by dbt."""

    def __init__(self, dbt: Dbt, connection: Connection) -> None:
        self.dbt = dbt
        self.connection = connection

    def evaluate(self, template: str, dbt_vars: str = "{}") -> Any:  # noqa: ANN401 - any JSON
        """Evaluate a template; the vars are YAML, as after `dbt --vars`."""
        arguments = dbt_arguments(self.dbt.project, ["compile", "--inline", template], {})
        arguments[-1] = dbt_vars
        outcome = dbtRunner(manifest=self.dbt.manifest).invoke(arguments)
        assert outcome.success, outcome.exception
        result: Any = outcome.result
        return json.loads(result.results[0].node.compiled_code)

    def refusal(self, template: str, dbt_vars: str) -> str:
        """Evaluate a template with vars that must not do; return what dbt says."""
        said: list[str] = []

        def listen(event: Any) -> None:  # noqa: ANN401 - dbt's events are protobuf messages
            if event.info.name == "ParseInlineNodeError":
                said.append(event.info.msg)

        arguments = dbt_arguments(self.dbt.project, ["compile", "--inline", template], {})
        arguments[-1] = dbt_vars
        outcome = dbtRunner(manifest=self.dbt.manifest, callbacks=[listen]).invoke(arguments)
        assert not outcome.success, "dbt accepts it"
        heading, _, sentence = said[0].partition("\n")
        assert heading == "Error while parsing node: inline_query"
        return sentence

    def schemas(self) -> set[str]:
        """Return the schemas of the database but those of Postgres."""
        return {
            name
            for (name,) in self.execute("select nspname from pg_namespace")
            if not name.startswith(("pg_", "information_schema"))
        }

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description is not None else []


@contextmanager
def running_macros() -> Iterator[Macros]:
    """Start a server on which nothing is built."""
    with dbt_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_POPULATE_CACHE", "false")
        with closing(psycopg2.connect(server.url())) as connection:
            connection.autocommit = True
            yield Macros(Dbt.open(Project(ROOT, server.home)), connection)
