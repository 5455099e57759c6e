"""The parsed project on disk: used while nothing has changed, and never afterwards."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from homes import ROOT

from runner.project import Project
from runner.transform.dbt_runner import Dbt
from runner.transform.manifest_cache import hash_project, keep_manifest, read_manifest

MODEL = "models/monthly_stats.sql"
PROPERTIES = "models/monthly_stats.yml"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of one model, as dbt sees it on no server at all."""
    monkeypatch.setenv("FUNNEL_LOCAL_HOST", "/nowhere")
    root = tmp_path / "project"
    (root / "models").mkdir(parents=True)
    (root / "dbt_project.yml").write_text("{name: funnel, profile: funnel}")
    shutil.copy(ROOT / "profiles.yml", root)
    (root / MODEL).write_text("select '{{ env_var('PGDATABASE', '') }}' as month")
    (root / PROPERTIES).write_text(
        "models: [{name: monthly_stats, columns: [{name: month, data_tests: "
        "[{unique: {name: month_is_unique}}]}]}]"
    )
    return Project(root, tmp_path / "home")


def test_what_dbt_parses_is_in_the_hash(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    model = project.root / MODEL
    hashes = [hash_project(project)]
    assert hash_project(project) == hashes[0]
    for text in ("select 1", "select 2"):  # as long as each other, within the clock's resolution
        model.write_text(text)
        hashes.append(hash_project(project))
    model.rename(model.with_name("renamed.sql"))
    hashes.append(hash_project(project))
    for variable in ("FUNNEL_LOCAL_HOST", "FUNNEL_DEV_SCHEMA", "PGDATABASE"):
        monkeypatch.setenv(variable, "changed")
        hashes.append(hash_project(project))
    hashes.append(hash_project(replace(project, target="dev")))
    hashes.append(hash_project(replace(project, overrides={"timezone": "Europe/Berlin"})))
    assert len(set(hashes)) == len(hashes)


def test_a_password_is_not_in_the_hash(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_project(project)
    monkeypatch.setenv("PGPASSWORD", "secret")
    assert hash_project(project) == before


def test_an_unchanged_project_is_parsed_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = Dbt(project).manifest
    with monkeypatch.context() as patched:
        patched.setattr(Dbt, "_parse", None)
        restored = Dbt(project, {"source_dt": "2024-05-01"}).manifest
    assert restored.flat_graph == parsed.flat_graph
    assert restored.macros.keys() == parsed.macros.keys()
    (project.root / MODEL).write_text("select 'changed' as month")
    changed = Dbt(project).manifest.nodes["model.funnel.monthly_stats"]
    assert changed.raw_code == "select 'changed' as month"


def test_two_checkouts_may_share_a_home(project: Project) -> None:
    other = replace(project, root=project.root.with_name("other"))
    shutil.copytree(project.root, other.root)
    properties = other.root / PROPERTIES
    properties.write_text(properties.read_text().replace("is_unique", "is_unambiguous"))
    for checkout, name in ((project, "unique"), (other, "unambiguous")) * 2:
        names = {node.name for node in Dbt(checkout).manifest.nodes.values()}
        assert names == {"monthly_stats", f"month_is_{name}"}


def test_a_broken_file_is_parsed_anew(project: Project) -> None:
    project_hash = hash_project(project)
    keep_manifest(project, project_hash, b"\x93no manifest")
    assert read_manifest(project, project_hash) == b"\x93no manifest"
    assert "model.funnel.monthly_stats" in Dbt(project).manifest.nodes


def test_where_nothing_can_be_kept_the_project_is_parsed(project: Project) -> None:
    project.home.write_text("a file where the folder should be")
    keep_manifest(project, "hash", b"manifest")
    assert read_manifest(project, "hash") is None
