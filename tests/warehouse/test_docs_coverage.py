"""Everything in the dbt project is described: a hundred percent, or a test fails."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from homes import ROOT, Funnel

from runner.project import Project
from runner.transform.dbt_runner import Dbt, describe
from runner.warehouse.raw_contract import RAW_TABLES

LAYERS = ("pipedrive_staging", "pipedrive_analytics", "pipedrive_reporting")


class Documented(NamedTuple):
    """Something that has to have a description, and what it says."""

    name: str
    description: str


@pytest.fixture(scope="module")
def manifest(demo: Funnel) -> Any:  # noqa: ANN401 - dbt's, which has no types for us
    return Dbt.open(Project(ROOT, demo.home)).manifest


def find_all(manifest: Any) -> Iterator[Documented]:  # noqa: ANN401
    """Yield all that the project defines."""
    for node in manifest.nodes.values():
        if node.package_name == "funnel" and node.resource_type not in (
            "operation",
            "sql_operation",
        ):
            yield Documented(node.unique_id, describe(node))
    for source in manifest.sources.values():
        yield Documented(source.source_name, source.source_description)
    others = (manifest.sources, manifest.exposures, manifest.unit_tests)
    for node in (node for group in others for node in group.values()):
        if node.package_name == "funnel":
            yield Documented(node.unique_id, node.description)
    for macro in find_macros(manifest):
        yield Documented(macro.unique_id, macro.description)


def find_macros(manifest: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the macros; a version for one engine means what the macro over it says."""
    for macro in manifest.macros.values():
        _, _, over_it = macro.name.rpartition("__")
        is_version = f"macro.funnel.{over_it}" in manifest.macros and over_it != macro.name
        if macro.package_name == "funnel" and not is_version:
            yield macro


def find_parts(manifest: Any) -> Iterator[Documented]:  # noqa: ANN401
    """Yield the columns and arguments of all that the project defines."""
    for node in (*manifest.nodes.values(), *manifest.sources.values()):
        for column in getattr(node, "columns", {}).values():
            yield Documented(f"{node.unique_id}.{column.name}", column.description)
    for macro in find_macros(manifest):
        described = {argument.name: argument.description for argument in macro.arguments}
        for argument in find_arguments(macro.macro_sql):
            yield Documented(f"{macro.unique_id}.{argument}", described.pop(argument, ""))
        yield from (Documented(f"{macro.unique_id}.{name}", "") for name in described)


def find_arguments(macro_sql: str) -> list[str]:
    """Return the names in a macro's head; a materialization has none."""
    pattern = r"{%-?\s*(?:(?:macro|test)\s+\w+\((.*?)\)|materialization\s.*?)\s*-?%}"
    head = re.search(pattern, macro_sql, flags=re.DOTALL)
    assert head, macro_sql
    return [part.partition("=")[0].strip() for part in (head[1] or "").split(",") if part.strip()]


def test_everything_is_described(manifest: Any) -> None:  # noqa: ANN401
    everything = [*find_all(manifest), *find_parts(manifest)]
    for kind in ("model", "seed", "source", "exposure", "unit_test", "macro", "test"):
        assert any(each.name.startswith(f"{kind}.funnel.") for each in everything), kind
    assert [each.name for each in everything if len(each.description.split()) < 2] == []


def test_what_is_built_is_what_is_described(manifest: Any, demo: Funnel) -> None:  # noqa: ANN401
    built: dict[str, list[str]] = {}
    columns = (
        "select table_schema || '.' || table_name, column_name from information_schema.columns"
        f" where table_schema in {LAYERS} order by table_schema, table_name, ordinal_position"
    )
    for table, column in demo.query(columns):
        built.setdefault(str(table), []).append(str(column))
    described = {
        f"{node.schema}.{node.alias}": [column.name for column in node.columns.values()]
        for node in manifest.nodes.values()
        if node.resource_type in ("model", "seed")
    }
    assert described == built


def test_the_raw_tables_are_those_of_the_contract(manifest: Any) -> None:  # noqa: ANN401
    described = {
        source.name: {name: column.data_type for name, column in source.columns.items()}
        for source in manifest.sources.values()
    }
    assert described == {
        table.name: {column.name: column.type for column in table.columns} for table in RAW_TABLES
    }


def test_every_prose_block_is_read(manifest: Any) -> None:  # noqa: ANN401
    blocks = {block.name for block in manifest.docs.values() if block.package_name == "funnel"}
    files = [*(ROOT / "models").rglob("*.yml"), *(ROOT / "seeds").rglob("*.yml")]
    text = "".join(file.read_text() for file in files)
    assert blocks - {"__overview__"} == set(re.findall(r"""doc\(['"](\w+)['"]\)""", text))
