"""Every fault of the corpus is seeded into good data and caught by the test that should see it.

`make test` seeds the share of the day, `make stress` all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from fnmatch import filter as matching
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import psycopg2
import pytest
from corruptions import CORRUPTIONS, PAGE, Corruption, Edit, Stage, page
from homes import ROOT, ask, copy_database, dbt_server
from psycopg2.errors import NotNullViolation, UniqueViolation

from runner.console import Console
from runner.errors import FunnelError
from runner.months.pipeline import RunOptions, run_window
from runner.months.verify import verify
from runner.months.window import Window
from runner.postgres.server import LocalPostgres
from runner.project import BUILT_SCHEMAS, Project
from runner.raw.demo_data import LAST_DAY, write_demo
from runner.raw.load import load
from runner.transform.dbt_runner import Dbt
from runner.transform.results import NodeResult

pytestmark = pytest.mark.long

YESTERDAY, TODAY = LAST_DAY.replace(day=30), LAST_DAY
"""Up to when the good data are built, and the day of the run that meets the fault."""

BAD = ("warn", "fail", "error")


@dataclass(frozen=True)
class Finding:
    """What noticed something, as the corpus names it."""

    catcher: str
    status: str
    failures: int = 1

    def is_more_than(self, known: "Finding | None") -> bool:
        """Whether this is a problem, and not one that good data have as well."""
        if self.status not in BAD:
            return False
        return known is None or known.status not in BAD or known.failures < self.failures


def found(result: NodeResult) -> Finding:
    kind = {"test": "", "source": "freshness: "}.get(result.kind, f"{result.kind}: ")
    return Finding(kind + result.name, result.status, result.failures or 1)


class Warehouse:
    """Good data, built up to yesterday: restored for each fault, as a copy of a database."""

    def __init__(self, server: LocalPostgres) -> None:
        self.server = server
        self.files = server.home / "demo"
        self.project = Project(ROOT, server.home)
        self.dbt = Dbt.open(self.project)

    @property
    def data_tests(self) -> list[str]:
        nodes = self.dbt.manifest.nodes.values()
        return [node.name for node in nodes if str(node.resource_type) == "test"]

    @property
    def required_columns(self) -> list[str]:
        """The columns that a model's contract says are never null, as `<table>.<column>`."""
        return [
            f"{node.name}.{column.name}"
            for node in self.dbt.manifest.nodes.values()
            if str(node.resource_type) == "model" and node.config.materialized != "view"
            for column in node.columns.values()
            if any(constraint.type == "not_null" for constraint in column.constraints)
        ]

    def build(self) -> None:
        write_demo(self.files)
        self.load(self.files)
        self.query(
            "insert into pipelines (pipeline_id, name) values (1, 'Sales'), (2, 'Service');"
            "update stages set pipeline_id = 1"
        )
        stopped = [f for f in self.run(YESTERDAY) if f.status not in ("pass", "warn")]
        assert not stopped
        copy_database(self.project.home, "postgres", "good")

    def restore(self) -> None:
        copy_database(self.project.home, "good", "postgres")

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with closing(psycopg2.connect(self.server.url())) as connection:
            schemas = ", ".join([self.project.raw_schema, *BUILT_SCHEMAS])
            ask(connection, f"set search_path = {schemas}")
            return ask(connection, statement)

    def monthly_stats(self) -> object:
        return self.query(
            "select md5(string_agg(t::text, '|' order by t::text)) from monthly_stats t"
        )

    def load(self, directory: Path) -> None:
        with closing(psycopg2.connect(self.server.url())) as connection:
            load(connection, directory, self.project.raw_schema, self.project.loaded_at_field)

    def run(self, day: date) -> list[Finding]:
        """`funnel run`."""
        report = run_window(self.project, Window(day), RunOptions(), Console(quiet=True))
        return [found(result) for result in report.results]

    def test(self, day: date, names: Sequence[str] = ()) -> list[Finding]:
        """`funnel test --full`, of all or of certain tests."""
        dbt = self.dbt.with_vars({"source_dt": str(day), "full_check": True})
        results = dbt.test(names)
        return [found(result) for result in results]

    def verify(self) -> list[Finding]:
        """`funnel verify`."""
        verification = verify(self.project, Console(quiet=True), None, None)
        tables = {drift.table for drift in verification.drift} | set(verification.deals)
        return [Finding(f"funnel verify: {table}", "fail") for table in sorted(tables)]

    def expand(self, caught_by: Sequence[str]) -> list[str]:
        """Return what has to catch a fault: of data tests each one that matches."""
        tests = [(name, matching(self.data_tests, name)) for name in caught_by]
        return [test for name, chosen in tests for test in chosen or [name]]

    @cached_property
    def good_run(self) -> Mapping[str, Finding]:
        """What a run finds in good data, which are not without oddities."""
        self.restore()
        return {finding.catcher: finding for finding in self.run(TODAY)}

    def good(self, stage: Stage) -> Mapping[str, Finding]:
        """What notices something in good data, of that which looks for a stage's faults."""
        if stage is Stage.VERIFIED:
            return {}
        return self.good_test if stage is Stage.BUILT else self.good_run

    @cached_property
    def good_test(self) -> Mapping[str, Finding]:
        self.restore()
        return {finding.catcher: finding for finding in self.test(YESTERDAY)}


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    with dbt_server() as server, pytest.MonkeyPatch.context() as patch:
        good = Warehouse(server)
        patch.setattr(Dbt, "open", lambda _: good.dbt)  # parsed once for all faults
        good.build()
        yield good


def find_fault(
    warehouse: Warehouse, corruption: Corruption, folder: Path, patch: pytest.MonkeyPatch
) -> list[Finding]:
    """Seed a fault, and return what everything says that could notice it."""
    command = "funnel load"
    try:
        seed_fault(warehouse, corruption, folder, patch)
        command = "funnel run"
        if corruption.stage is Stage.BUILT:
            return warehouse.test(YESTERDAY, warehouse.expand(corruption.caught_by))
        if corruption.stage is Stage.VERIFIED:
            return warehouse.verify()
        return warehouse.run(TODAY)
    except FunnelError as error:
        return [Finding(f"{command}: {error.message}", "error")]
    except NotNullViolation as refusal:
        column = f"{refusal.diag.table_name}.{refusal.diag.column_name}"
        return [Finding(f"constraint: {column}", "error")]
    except UniqueViolation as refusal:
        return [Finding(f"index: {refusal.diag.table_name}", "error")]


def seed_fault(
    warehouse: Warehouse, corruption: Corruption, folder: Path, patch: pytest.MonkeyPatch
) -> None:
    fault = corruption.fault
    if isinstance(fault, str):
        warehouse.query(fault)
    elif corruption.stage is Stage.SEED:
        nodes = warehouse.dbt.manifest.nodes.values()
        (seed,) = [node for node in nodes if f"{node.name}.csv" == fault.file]
        edit(ROOT / "seeds", folder, fault)
        patch.setattr(seed, "original_file_path", str(folder / fault.file))
    else:
        edit(warehouse.files, folder, fault)
        warehouse.load(folder)


def edit(source: Path, target: Path, fault: Edit) -> None:
    """Make a copy of a folder of CSV files with one of them changed."""
    for file in source.glob("*.csv"):
        (target / file.name).symlink_to(file)
    changed = fault.change((source / fault.file).read_text(encoding="utf-8"))
    (target / fault.file).unlink()
    (target / fault.file).write_bytes(changed.encode() if isinstance(changed, str) else changed)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: c.name.replace(" ", "-"))
def test_a_fault_is_caught(
    warehouse: Warehouse,
    corruption: Corruption,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = warehouse.good(corruption.stage)
    warehouse.restore()
    before = warehouse.monthly_stats()
    findings = find_fault(warehouse, corruption, tmp_path, monkeypatch)
    noticed = {
        finding.catcher: finding.status
        for finding in findings
        if finding.is_more_than(good.get(finding.catcher))
    }
    expected = warehouse.expand(corruption.caught_by)
    missing = [name for name in expected if not matching(noticed, name)]
    assert not missing, f"missing: {missing}, noticed: {noticed}"
    statuses = {noticed[name] for name in noticed if any(fnmatchcase(name, e) for e in expected)}
    is_error = bool(statuses & {"fail", "error"})
    assert corruption.severity == ("error" if is_error else "warn"), noticed
    if corruption.stage not in (Stage.BUILT, Stage.VERIFIED):
        stopped = {"fail", "error"} & {finding.status for finding in findings}
        assert bool(stopped) is is_error
        assert (warehouse.monthly_stats() == before) is is_error


@pytest.mark.every_day
def test_good_data_pass_and_change_monthly_stats(warehouse: Warehouse) -> None:
    warehouse.restore()
    before = warehouse.monthly_stats()
    findings = warehouse.run(TODAY)
    assert {finding.status for finding in findings} == {"pass", "warn"}
    assert warehouse.monthly_stats() != before


def test_good_data_do_not_drift(warehouse: Warehouse) -> None:
    warehouse.restore()
    assert warehouse.verify() == []


@pytest.mark.every_day
def test_names_are_unique() -> None:
    names = [corruption.name for corruption in CORRUPTIONS]
    assert len(set(names)) == len(names) >= 40


@pytest.mark.every_day
def test_every_data_test_has_been_seen_failing(warehouse: Warehouse) -> None:
    caught_by = {name for corruption in CORRUPTIONS for name in corruption.caught_by}
    tests = warehouse.data_tests
    # Where the database enforces the contract there is nothing to test; test_spark.py tests it.
    assert set(warehouse.dbt.manifest.disabled) == {
        "test.funnel.assert_nothing_is_null_that_must_not_be"
    }
    never = [test for test in tests if not any(fnmatchcase(test, name) for name in caught_by)]
    assert sorted(never) == []


@pytest.mark.every_day
def test_the_database_refuses_null_where_the_contract_says_so(warehouse: Warehouse) -> None:
    warehouse.restore()
    columns = warehouse.required_columns
    assert len(columns) > 20
    for column in columns:
        table, _, name = column.partition(".")
        with pytest.raises(NotNullViolation):
            warehouse.query(f"update {table} set {name} = null")


@pytest.mark.every_day
def test_the_page_shows_the_corpus() -> None:
    command = "python tests/support/corruptions.py"
    assert PAGE.read_text(encoding="utf-8") == page(), f"type `{command}`"


@pytest.mark.every_day
def test_every_column_of_another_type_is_named(warehouse: Warehouse) -> None:
    warehouse.restore()
    (fault,) = [each.fault for each in CORRUPTIONS if each.name == "wrong types"]
    assert isinstance(fault, str)
    warehouse.query(fault)
    tests = warehouse.expand(["assert_*_its_types", "assert_*_their_types"])
    dbt = warehouse.dbt.with_vars({"source_dt": str(YESTERDAY)})
    found = [row[:2] for result in dbt.test(tests) for row in warehouse.query(result.query)]
    assert sorted(found) == sorted(
        (node.name, column)
        for node in warehouse.dbt.manifest.nodes.values()
        if str(node.resource_type) in ("model", "seed")
        for column in node.columns
    )
