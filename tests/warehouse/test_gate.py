"""The quality gate as a run meets it: what blocks, what is kept, what only warns, what is read."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from dbt.deps.registry import RegistryPinnedPackage, RegistryUnpinnedPackage
from homes import ROOT, Funnel, running_home, tables

from runner.project import Project
from runner.raw.demo_data import write_demo
from runner.transform.packages import install_packages

CHANGES = "pipedrive_raw.deal_changes"
LAST_DAY = ("--source-dt", "2024-12-31")


@pytest.fixture(scope="module")
def november(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Funnel]:
    """A home whose data reach to the end of December, and whose counts to that of November."""
    export = tmp_path_factory.mktemp("export")
    write_demo(export)
    with running_home() as funnel:
        funnel.done("load", str(export))
        funnel.done("run", "--source-dt", "2024-11-30", "--no-tests")
        funnel.query(f"create table public.kept as select * from {CHANGES}")
        yield funnel


@pytest.fixture
def built(november: Funnel) -> Iterator[Funnel]:
    """The same; afterwards the raw rows are restored, and December is not counted."""
    yield november
    for table in ("daily_activity_stats", "daily_deal_stats"):
        november.query(f"delete from pipedrive_analytics.{table} where date > '2024-11-30'")
    november.query(f"delete from {CHANGES}; insert into {CHANGES} select * from public.kept")


def verdicts(funnel: Funnel, *arguments: str) -> dict[str, str]:
    """Return the tests that did not pass, after `funnel test` with these arguments."""
    found = json.loads(funnel("test", "--json", *arguments).stdout)["tests"]
    return {test["name"]: test["status"] for test in found if test["status"] != "pass"}


def test_a_failed_test_of_a_raw_table_keeps_all_below_it(built: Funnel) -> None:
    before = tables(built)
    built.query(
        f"update {CHANGES} set deal_id = null where ctid in (select ctid from {CHANGES}"
        " where change_time >= '2024-12-20' limit 3)"
    )
    outcome = built("run", *LAST_DAY, "--json")
    run = json.loads(outcome.stdout)
    assert outcome.returncode == 1
    failed = [problem for problem in run["problems"] if problem["status"] == "fail"]
    assert [(problem["name"], problem["failures"]) for problem in failed] == [
        ("source_not_null_pipedrive_raw_deal_changes_deal_id", 3)
    ]
    after = tables(built)
    # Activities too: in which pipeline a deal is at that moment, its changes say.
    assert before == after


@pytest.mark.long
def test_a_step_that_lost_its_stage_is_not_reported(built: Funnel) -> None:
    before = tables(built)
    built.query("update pipedrive_raw.stages set stage_name = 'Talks' where stage_id = 5")
    try:
        run = json.loads(built("run", "--source-dt", "2024-12-05", "--json").stdout)
    finally:
        built.query("update pipedrive_raw.stages set stage_name = 'Negotiation' where stage_id = 5")
    bad = {problem["name"]: problem["status"] for problem in run["problems"]}
    assert bad["deal_staging_keeps_its_volume"] == "fail"
    assert bad["assert_stage_names_agree"] == "warn"
    after = tables(built)
    for table in ("daily_deal_stats", "deal_stage_visits", "deal_states"):
        assert after[table] == before[table]
    # Once meant, it is counted.
    built.query("update pipedrive_raw.stages set stage_name = 'Talks' where stage_id = 5")
    try:
        days = ("--from", "2024-11-01", "--to", "2024-12-05")
        rebuilt = built("rebuild", *days, "--yes", "--no-freshness", "--json")
    finally:
        built.query("update pipedrive_raw.stages set stage_name = 'Negotiation' where stage_id = 5")
        built.done("rebuild", *days, "--yes", "--no-freshness")
    assert rebuilt.returncode == 0, rebuilt.stdout


@pytest.mark.long
def test_a_bad_month_is_a_warning_with_the_owner(built: Funnel) -> None:
    built.query(
        f"delete from {CHANGES} where changed_field_key = 'stage_id' and new_value = '5'"
        " and change_time >= '2024-12-04'"
    )
    run = built.done("run", *LAST_DAY, "--json")
    problems = json.loads(run.stdout)["problems"]
    warned = {problem["name"] for problem in problems if problem["kind"] == "test"}
    assert {"assert_enough_deals_progress", "assert_no_step_leaves_its_history"} <= warned
    query = "select warnings from pipedrive_meta.runs order by started_at desc limit 1"
    assert built.query(query) == [(" ".join(sorted(warned)),)]
    compiled = built.home / "target" / "compiled" / "funnel" / "tests" / "data" / "monthly"
    [(step, owner, deals, expected, score)] = built.query(
        "select funnel_step, owner, deals_count, expected_deals_count, score from ("
        + (compiled / "assert_no_step_leaves_its_history.sql").read_text()
        + ") as found"
    )
    assert (step, owner) == ("5", "Account executives")
    assert float(str(deals)) < 10
    assert float(str(expected)) > 30
    assert float(str(score)) < -3.5
    query = (compiled / "assert_enough_deals_progress.sql").read_text()
    [row] = built.query(f"select first_step, second_step, owner from ({query}) as found")
    assert row == ("4", "5", "Account executives")
    # What is judged is a matter of vars.
    lenient = '{step_pairs: [["4", "5", 0.05]], anomaly_threshold: 50}'
    assert not {"assert_enough_deals_progress", "assert_no_step_leaves_its_history"} & set(
        verdicts(built, *LAST_DAY, "--vars", lenient)
    )
    patient = "{min_step_deals: 5000, anomaly_min_months: 100}"
    assert not {"assert_enough_deals_progress", "assert_no_step_leaves_its_history"} & set(
        verdicts(built, *LAST_DAY, "--vars", patient)
    )


@pytest.mark.long
def test_tests_read_the_months_of_the_run_and_with_full_check_all(built: Funnel) -> None:
    built.query(
        f"update {CHANGES} set deal_id = null where ctid in (select ctid from {CHANGES}"
        " where change_time >= '2023-05-10' limit 1)"
    )
    name = "source_not_null_pipedrive_raw_deal_changes_deal_id"
    assert name not in verdicts(built, "--source-dt", "2024-11-30")
    in_window = verdicts(built, "--source-dt", "2023-06-03")
    everywhere = verdicts(built, "--source-dt", "2024-11-30", "--vars", "{full_check: true}")
    assert in_window[name] == everywhere[name] == "fail"
    assert everywhere["assert_processed_months_are_counted_exactly"] == "fail"


def test_a_threshold_that_is_none_stops_before_anything_is_read(november: Funnel) -> None:
    outcome = november("test", "--vars", "{min_step_ratio: 1.5}")
    assert outcome.returncode == 2
    assert "var min_step_ratio must be a number from 0 to 1" in outcome.stderr


@pytest.fixture
def outdated(tmp_path: Path) -> Project:
    """A project in which a bundled edition of an earlier version is installed."""
    for name in ("packages", "packages.yml", "package-lock.yml", "dbt_project.yml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    installed = tmp_path / "dbt_packages" / "dbt_expectations"
    shutil.copytree(tmp_path / "packages" / "dbt_expectations", installed)
    (installed / "macros" / "expect_column_values_to_be_between.sql").unlink()
    return Project(tmp_path, tmp_path / "home")


def files_in(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def refuse(*_: object, **__: object) -> None:
    raise requests.ConnectionError("out of reach")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def hub_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("requests.head", lambda *_, **__: None)


# How dbt asks the hub, after it has removed what is installed.
ASK_HUB = "dbt.clients.registry.index_cached"


@pytest.mark.parametrize("ask", ["requests.head", ASK_HUB])
@pytest.mark.usefixtures("hub_answers")
def test_an_outdated_bundled_edition_is_replaced(
    outdated: Project, ask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ASK_HUB, interrupt)  # not to be asked where the hub does not answer
    monkeypatch.setattr(ask, refuse)
    installed = outdated.root / "dbt_packages" / "dbt_expectations"
    working_folder = Path.cwd()
    install_packages(outdated)
    assert Path.cwd() == working_folder
    assert files_in(installed) == files_in(outdated.root / "packages" / "dbt_expectations")
    # That of the package hub is left alone.
    (installed / "README.md").touch()
    (installed / "macros" / "expect_column_values_to_be_between.sql").unlink()
    install_packages(outdated)
    assert not (installed / "macros" / "expect_column_values_to_be_between.sql").exists()


@pytest.mark.usefixtures("hub_answers")
def test_asking_the_hub_takes_no_package_from_the_project(
    outdated: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_in(outdated.root)
    monkeypatch.setattr(ASK_HUB, interrupt)
    with pytest.raises(KeyboardInterrupt):
        install_packages(outdated)
    assert files_in(outdated.root) == before


@pytest.mark.usefixtures("hub_answers")
def test_packages_of_the_hub_replace_the_bundled_edition(
    outdated: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pin(package: RegistryUnpinnedPackage) -> RegistryPinnedPackage:
        version = package.versions[0].to_version_string(skip_matcher=True)
        return RegistryPinnedPackage(package.package, version, version)

    def install(package: RegistryPinnedPackage, project: Any, _: object) -> None:  # noqa: ANN401
        folder = Path(project.packages_install_path, package.name.partition("/")[2])
        folder.mkdir()
        (folder / "dbt_project.yml").write_text(package.version)

    monkeypatch.setattr(RegistryUnpinnedPackage, "resolved", pin)
    monkeypatch.setattr(RegistryPinnedPackage, "install", install)
    install_packages(outdated)
    lock = yaml.safe_load((ROOT / "package-lock.yml").read_text())
    assert files_in(outdated.root / "dbt_packages") == {
        Path(package["name"], "dbt_project.yml"): package["version"].encode()
        for package in lock["packages"]
    }
