"""Run the dbt_expectations tests of this project with both editions of that package, and compare.

    .venv/bin/python packages/compare_editions.py DBT_EXPECTATIONS DBT_DATE

The two folders hold the real package and the one that it needs, of any release. Each test runs on
good data and on data that were corrupted in many ways, on a database of its own. Prints a line per
test with its verdict on each state of the data: passed (.), Warned, Failed or ended in an Error.
Ends with 1 where the editions differ, or where a test has not been seen both passing and failing.
Nothing of this checkout is changed. Takes some minutes.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg2
from psycopg2 import sql

from runner.postgres.server import LocalPostgres
from runner.project import Project
from runner.raw.demo_data import LAST_DAY, write_demo
from runner.raw.directory import load_demo
from runner.transform.dbt_runner import Dbt
from runner.warehouse.connection import connect

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "packages" / "dbt_expectations"
TESTS = ("test_name:expect_*", "test_name:has_every_day", "test_name:is_recent")
WINDOW = {"source_dt": str(LAST_DAY)}
_LETTERS = {"pass": ".", "warn": "W", "fail": "F", "error": "E"}

STAGING, ANALYTICS, REPORT = "pipedrive_staging", "pipedrive_analytics", "pipedrive_reporting"
_DAILY = [f"{ANALYTICS}.daily_activity_stats", f"{ANALYTICS}.daily_deal_stats"]
_MONTHLY = [f"{ANALYTICS}.monthly_activity_stats", f"{ANALYTICS}.monthly_deal_stats"]
_FUNNEL = f"{REPORT}.monthly_stats"
_COUNTED = {
    **dict.fromkeys(_DAILY, "new_deals_count"),
    **dict.fromkeys([*_MONTHLY, _FUNNEL], "deals_count"),
}
_EVENTS = {"pipedrive_raw.activity": "due_to", "pipedrive_raw.deal_changes": "change_time"}


def _select(relation: str, columns: str = "*") -> str:
    """Put a view in a relation's place that shows something else of it."""
    schema, name = relation.split(".")
    return (
        f"alter table {relation} rename to hidden_{name};"
        f"create view {relation} as select {columns} from {schema}.hidden_{name};"
    )


def _double(relation: str, rows: str = "select * from {}") -> str:
    schema, name = relation.split(".")
    hidden = f"{schema}.hidden_{name}"
    return (
        f"alter table {relation} rename to hidden_{name};"
        f"create view {relation} as select * from {hidden} union all {rows.format(hidden)};"
    )


CORRUPTIONS: Mapping[str, str] = {
    "nothing": "select 1;",
    "events loaded twice": "".join(f"insert into {t} select * from {t};" for t in _EVENTS),
    "one event loaded twice": "".join(
        f"insert into {t} select * from {t} where {time} >= '2024-12-01' limit 1;"
        for t, time in _EVENTS.items()
    ),
    "an old event loaded twice": "".join(
        f"insert into {t} select * from {t} where {time} < '2024-01-01' limit 1;"
        for t, time in _EVENTS.items()
    ),
    "rows of nothing but nulls": "".join(
        f"insert into {t} ({time}) select '2024-12-05' from generate_series(1, 2);"
        for t, time in _EVENTS.items()
    )
    + _double(f"{STAGING}.deal_kpis", "select null, null, null, null, null from {} limit 2"),
    "definition and options listed twice": "".join(
        _double(f"{STAGING}.{name}") for name in ("funnel_steps", "deal_kpis", "field_options")
    ),
    "counts listed twice": "".join(_double(table) for table in [*_DAILY, *_MONTHLY, _FUNNEL]),
    "one count listed twice": "".join(
        _double(table, "(select * from {} limit 1)") for table in [*_DAILY, *_MONTHLY, _FUNNEL]
    ),
    "counts below 0": "".join(f"update {t} set {c} = -1;" for t, c in _COUNTED.items()),
    "one count below 0": "".join(
        f"update {t} set {c} = -1 where ctid in (select ctid from {t} limit 1);"
        for t, c in _COUNTED.items()
    ),
    "more deals than deal-days": "".join(
        f"update {t} set {c} = {'deals_count' if t in _DAILY else 'deal_days_count'} + 1;"
        for t, c in _COUNTED.items()
    ),
    "unknown counts": "".join(
        f"alter table {t} alter {c} drop not null; update {t} set {c} = null;"
        for t, c in _COUNTED.items()
    ),
    "a day is missing": "".join(f"delete from {t} where date = '2024-06-15';" for t in _DAILY),
    "a month is missing": "".join(
        f"delete from {t} where date >= '2024-02-01' and date < '2024-03-01';" for t in _DAILY
    ),
    "the first and the last day are missing": "".join(
        f"delete from {t} where date in ('2023-01-01', '2024-12-31');" for t in _DAILY
    ),
    "no day but one": "".join(f"delete from {t} where date <> '2024-06-15';" for t in _DAILY),
    "no day at all": "".join(f"delete from {t};" for t in _DAILY),
    "a column more": f"alter table {_FUNNEL} add email text;",
    "a column less": f"alter table {_FUNNEL} drop step_order;",
    "a column with another name": f"alter table {_FUNNEL} rename month to months;",
    "columns in another order": _select(
        _FUNNEL, "kpi_name, month, funnel_step, deals_count, step_order, deal_days_count"
    ),
    "columns in upper case": _select(
        _FUNNEL,
        'month as "MONTH", kpi_name as "KPI_NAME", funnel_step as "FUNNEL_STEP",'
        ' deals_count as "DEALS_COUNT", step_order as "STEP_ORDER",'
        ' deal_days_count as "DEAL_DAYS_COUNT"',
    ),
    "no report": f"drop table {_FUNNEL};",
    "nothing for eight days": "".join(
        f"delete from {t} where {time} >= '2024-12-24';" for t, time in _EVENTS.items()
    ),
    "nothing for five days": "".join(
        f"delete from {t} where {time} >= '2024-12-27';" for t, time in _EVENTS.items()
    ),
    "only events of a far future": "".join(
        f"update {t} set {time} = '2999-01-01';" for t, time in _EVENTS.items()
    ),
    "no event at all": "".join(f"delete from {t};" for t in _EVENTS),
}


def main() -> int:
    """Compare, print, and return the exit code."""
    if len(sys.argv) != 3:  # noqa: PLR2004
        print(__doc__, file=sys.stderr)
        return 2
    real = [Path(argument).resolve() for argument in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder:
        home = Path(folder) / "home"
        server = LocalPostgres(home)
        with server.session():
            os.environ.update(_environment(server))
            bundled = _dbt(Path(folder) / "bundled", home / "bundled", [BUNDLED])
            original = _dbt(Path(folder) / "real", home / "real", real)
            _build(server, bundled, Path(folder) / "export")
            return _compare(server, bundled, original)


def _compare(server: LocalPostgres, bundled: Dbt, original: Dbt) -> int:
    ours, theirs = [], []
    for statements in CORRUPTIONS.values():
        with _corrupted(server, statements):
            ours.append(_verdicts(bundled))
            theirs.append(_verdicts(original))
    for number, name in enumerate(CORRUPTIONS, start=1):
        print(f"{number:3} {name}")
    tests = sorted(ours[0] | theirs[0])
    numbers = [f"{number:02}" for number in range(1, len(CORRUPTIONS) + 1)]
    for digit in (0, 1):
        print(" " * 60 + "".join(number[digit] for number in numbers))
    failed = 0
    for test in tests:
        line, other = (
            "".join(_LETTERS.get(verdicts.get(test, ""), "?") for verdicts in edition)
            for edition in (ours, theirs)
        )
        findings = [
            "both" if line == other else f"bundled\n{' ' * 60}{other}  real: NOT THE SAME",
            "" if set(other) & {"W", "F"} else "SEEN FAILING NOWHERE",
            "" if "." in other else "SEEN PASSING NOWHERE",
        ]
        failed += any(finding.isupper() for finding in findings) or line != other
        print(f"{test:60}{line}  {' '.join(filter(None, findings))}")
    print(f"{len(tests) * len(CORRUPTIONS)} verdicts, {failed} tests to look at")
    return 1 if failed else 0


def _verdicts(dbt: Dbt) -> dict[str, str]:
    return {result.name: result.status for result in dbt.test(TESTS) if result.kind == "test"}


def _environment(server: LocalPostgres) -> dict[str, str]:
    return {
        "PGHOST": str(server.socket_dir),
        "PGPORT": "5432",
        "PGUSER": "postgres",
        "PGPASSWORD": "",
        "PGDATABASE": "compared",
    }


def _dbt(root: Path, home: Path, packages: list[Path]) -> Dbt:
    """Return dbt for a copy of the project with these packages."""
    for name in ("models", "macros", "seeds"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copytree(ROOT / "tests", root / "tests", ignore=shutil.ignore_patterns("runner"))
    for name in ("dbt_project.yml", "profiles.yml", "packages.yml"):
        shutil.copy(ROOT / name, root / name)
    for package, name in zip(packages, ("dbt_expectations", "dbt_date"), strict=False):
        shutil.copytree(package, root / "dbt_packages" / name)
    # Not to be taken for a bundled edition that is out of date, nor to be replaced by one.
    (root / "dbt_packages" / "dbt_expectations" / "README.md").touch()
    return Dbt(Project(root, home, "prod"), WINDOW)


def _build(server: LocalPostgres, dbt: Dbt, export: Path) -> None:
    _administer(server, "create database compared")
    write_demo(export)
    with closing(connect(dbt.project)) as connection:
        load_demo(connection, dbt.project, export)
    everything = replace(dbt, vars={**WINDOW, "months": 24})
    bad = [result for result in everything.build(with_tests=False) if result.is_bad]
    if bad:
        raise SystemExit(f"cannot build: {bad}")
    _administer(server, "alter database compared rename to good")


@contextmanager
def _corrupted(server: LocalPostgres, statements: str) -> Iterator[None]:
    """Have a copy of the good database that was changed, while the block runs."""
    _administer(server, "create database compared template good")
    with closing(connect(Project(ROOT, server.home, "prod"))) as connection:
        with connection.cursor() as cursor:
            cursor.execute(statements)
    try:
        yield
    finally:
        _administer(server, "drop database compared with (force)")


def _administer(server: LocalPostgres, statement: str) -> None:
    with closing(psycopg2.connect(server.url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement))


if __name__ == "__main__":
    sys.exit(main())
