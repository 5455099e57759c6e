"""The conventions of `make check`: the project keeps them, and each of them can be broken."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from homes import ROOT

from runner.project import Project
from runner.transform.dbt_runner import Dbt

Manifest = dict[str, Any]

if sys.version_info >= (3, 11):  # which dbt-bouncer needs
    import tomllib

    CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dbt-bouncer"]

    @pytest.fixture(scope="module")
    def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
        folder = tmp_path_factory.mktemp("conventions")
        file = folder / "manifest.json"
        Dbt.open(Project(ROOT, folder)).manifest.write(str(file))  # type: ignore[no-untyped-call]
        parsed: Manifest = json.loads(file.read_text())
        return parsed

    def test_the_project_keeps_its_conventions(manifest: Manifest, tmp_path: Path) -> None:
        assert find_broken(manifest, tmp_path) == {}

    def test_every_model_is_tested(manifest: Manifest) -> None:
        tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
        unit_tests = manifest["unit_tests"].values()
        tested = {read for test in (*tests, *unit_tests) for read in test["depends_on"]["nodes"]}
        models = find_models(manifest)
        # Each view of the marts is held against a function of its name.
        oracle = (ROOT / "tests" / "support" / "mart_oracle.py").read_text()
        compared = {name for name in models if f"\ndef {name.split('.')[-1]}(" in oracle}
        assert models - tested - compared == set()

    def test_every_model_has_its_types_tested(manifest: Manifest) -> None:
        tested: list[str] = []
        for test in manifest["nodes"].values():
            if "test_has_declared_types(models, exactly=true)" in test.get("raw_code", ""):
                tested += test["depends_on"]["nodes"]
        kinds = ("model", "seed")
        nodes = manifest["nodes"].values()
        assert sorted(tested) == sorted(
            node["unique_id"] for node in nodes if node["resource_type"] in kinds
        )

    def test_each_convention_can_be_broken(manifest: Manifest, tmp_path: Path) -> None:
        spoiled = spoil(copy.deepcopy(manifest))
        broken = find_broken(spoiled, tmp_path)
        unbroken = [
            check for number, check in enumerate(CONFIG["manifest_checks"]) if number not in broken
        ]
        assert unbroken == []


def find_models(manifest: Manifest) -> set[str]:
    nodes = manifest["nodes"].items()
    return {name for name, node in nodes if node["resource_type"] == "model"}


def find_broken(manifest: Manifest, folder: Path) -> dict[int, list[str]]:
    """Hold a manifest against the conventions; return what was said by number of the check."""
    (folder / "manifest.json").write_text(json.dumps(manifest))
    config = folder / "dbt-bouncer.yml"
    config.write_text(yaml.safe_dump({**CONFIG, "dbt_artifacts_dir": "."}))
    results = folder / "results.json"
    program = Path(sys.executable).with_name("dbt-bouncer")
    outcome = subprocess.run(
        [program, "--config-file", config, "--output-file", results],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    assert outcome.returncode in (0, 1), outcome.stdout + outcome.stderr
    broken: dict[int, list[str]] = {}
    for result in json.loads(results.read_text()):
        if result["outcome"] != "success":
            number = int(result["check_run_id"].split(":")[1])
            broken.setdefault(number, []).append(result["failure_message"])
    return broken


def spoil(manifest: Manifest) -> Manifest:
    """Break every convention somewhere."""
    nodes = manifest["nodes"]
    model = nodes["model.funnel.daily_deal_stats"]
    for layer in ("staging", "daily", "monthly", "reporting", "marts"):
        unique_id = f"model.funnel.T1_{layer}"
        nodes[unique_id] = {
            **copy.deepcopy(model),
            "unique_id": unique_id,
            "name": f"T1_{layer}",
            "original_file_path": f"models/{layer}/T1_{layer}.sql",
            "patch_path": "funnel://models/_models.yml",
            "schema": "elsewhere",
            "description": "Counts.",
            "columns": {
                name: {**model["columns"]["date"], "name": name, "data_type": data_type}
                for name, data_type in {
                    "When": "date",
                    "finished": "boolean",
                    "moment": "timestamp",
                    "deals_count": "text",
                }.items()
            },
            "config": {**model["config"], "unique_key": None, "contract": {"enforced": False}},
            "contract": {"enforced": False},
            "raw_code": "with\n\nx as (select 1)\n\nselect now() from sales.deals;",
            "depends_on": {
                "macros": [],
                "nodes": ["model.funnel.monthly_stats", "source.funnel.pipedrive_raw.activity"],
            },
        }
        manifest["parent_map"][unique_id] = nodes[unique_id]["depends_on"]["nodes"]
    nodes["model.funnel.T1_daily"]["columns"]["When"] |= {"description": "", "data_type": None}
    macro = manifest["macros"]["macro.funnel.in_window"]
    macro |= {"description": "", "name": "within", "macro_sql": "current_date\n" * 50}
    macro["arguments"][0]["description"] = ""
    manifest["sources"]["source.funnel.pipedrive_raw.users"]["description"] = ""
    seed = nodes["seed.funnel.funnel_steps"]
    seed["description"] = ""
    seed["columns"]["kpi_name"]["data_type"] = None
    exposure = manifest["exposures"]["exposure.funnel.sales_funnel"]
    exposure |= {"description": "", "owner": {"name": None, "email": "x"}}
    unit_test = next(iter(manifest["unit_tests"].values()))
    unit_test["given"][0]["format"] = unit_test["expect"]["format"] = "csv"
    return manifest
