"""CONTRIBUTING.md draws the house: every folder that is there, and none that is not."""

import re

import yaml
from homes import ROOT

from runner import __version__

DRAWN = ("macros", "tests", "runner")


def read_drawing() -> dict[str, list[str]]:
    """Return the folders that the drawing names, in its order, by top folder."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    drawing = re.search(r"## The house\n\n```text\n(.*?)```", page, flags=re.DOTALL)
    assert drawing
    drawn: dict[str, list[str]] = {}
    top = ""
    for line in drawing[1].splitlines():
        begin = re.match(r"(\w+)/ ", line)
        top = begin[1] if begin else top
        if top == "models":
            drawn[top] = re.findall(r"(\w+)/", line[len("models/") :])
        elif folder := re.match(r"(?:\w+/)? +(\w+)/ ", line):
            drawn.setdefault(top, []).append(folder[1])
    return drawn


def find_folders(top: str) -> set[str]:
    files = [path for end in ("py", "sql") for path in (ROOT / top).glob(f"*/**/*.{end}")]
    return {path.relative_to(ROOT / top).parts[0] for path in files}


def test_the_drawing_shows_every_folder() -> None:
    drawn = read_drawing()
    assert set(drawn["models"]) == find_folders("models")
    assert {top: set(drawn[top]) for top in DRAWN} == {top: find_folders(top) for top in DRAWN}


def test_the_root_of_the_runner_holds_what_the_page_says() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    sentence = re.search(r"At the root of `runner/` are only (.*)", page)
    assert sentence
    root = {path.stem for path in (ROOT / "runner").glob("*.py")} - {"__init__"}
    assert root == set(re.findall(r"`(\w+)`", sentence[1]))


def test_the_drawing_has_the_order_of_the_layers() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    layers = re.search(r"(?s)\nlayers = \[(.*?)\]", pyproject)
    assert layers
    named = re.findall(r"runner\.(\w+)", layers[1])
    drawn = read_drawing()["runner"]
    assert [name for name in named if name in drawn] == drawn


def test_every_path_that_the_page_names_is_there() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:models|macros|tests|runner|docs)/[\w/.]+)`", page)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_version_stands_in_one_place_and_the_changelog_begins_with_it() -> None:
    newest = re.search(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text())
    assert newest
    assert newest[1] == __version__
    assert "version" not in yaml.safe_load((ROOT / "dbt_project.yml").read_text())
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()
