"""The README's examples print what it shows."""

import doctest
import json
import re
from pathlib import Path

import pytest
from homes import ROOT, Funnel

README = (ROOT / "README.md").read_text()
COMMANDS = README + (ROOT / "docs" / "commands.md").read_text()
CONSOLE = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
SHOWN = [
    (command, output.strip("\n"))
    for block in CONSOLE
    for command, output in re.findall(r"^\$ ([^\n]*)\n((?:(?!\$ ).*\n?)*)", block, flags=re.M)
]


def test_the_examples_are_found() -> None:
    commands = [command for command, _ in SHOWN]
    assert "make demo" in commands
    assert "funnel show --last 6" in commands
    assert len(commands) == len(dict.fromkeys(commands)) > 8


@pytest.mark.parametrize(("command", "output"), [pair for pair in SHOWN if pair[1]])
def test_a_command_prints_what_the_readme_shows(
    demo: Funnel, tmp_path: Path, command: str, output: str
) -> None:
    funnel, words = demo, command.split()
    if "load" in words:
        funnel, words = Funnel(tmp_path), ["funnel", "load", str(demo.home / "demo")]
    elif command == "make demo":
        words = ["cat", str(demo.home / "printed.txt")]
    elif "report" in words:
        funnel = Funnel(demo.home, directory=tmp_path)
    outcome = funnel.run("sh", "-c", '"$@" 2>&1', "sh", *words)
    shown, printed = (
        # Seconds, and what the server guesses, differ from time to time.
        re.sub(r"in [0-9.]+ s|about [0-9,]+ rows", "", text.strip("\n")) + "\n"
        for text in (output, outcome.stdout)
    )
    assert doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS), printed


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        text = page.read_text()
        for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
            target = page.parent / link if link else page
            assert target.exists(), f"{page.name}: {link}"
            heads = re.findall(r"^#+ (.*)", target.read_text(), flags=re.M) if anchor else []
            assert not anchor or anchor in [head.lower().replace(" ", "-") for head in heads], link


def test_make_demo_is_the_command_demo() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ndemo:")[2].partition("\n\n")[0]
    assert "$(BIN)/funnel demo" in recipe


@pytest.mark.long
def test_plain_dbt_builds_beside_the_embedded_server(demo: Funnel) -> None:
    command = "dbt build --vars '{source_dt: \"2024-05-01\"}'"
    assert f"`{command}`" in README
    host = json.loads(demo.done("db", "start", "--json").stdout)["socket_dir"]
    plain = Funnel(demo.home, {"FUNNEL_LOCAL_HOST": host, "DBT_TARGET_PATH": str(demo.home / "t")})
    before = demo.done("show", "--last", "24", "--csv").stdout
    outcome = plain.run("sh", "-c", f"{command} --log-path {demo.home}/l")
    assert outcome.returncode == 0, outcome.stdout
    assert "ERROR=0" in outcome.stdout
    demo.done("run", "--source-dt", "2024-05-01", "--no-tests")
    assert demo.done("show", "--last", "24", "--csv").stdout == before
    # Back from the old date, for the tests that look at deals as of the last day.
    demo.done("run", "--source-dt", "2024-12-31", "--no-tests")


@pytest.mark.parametrize("command", sorted(set(re.findall(r"[|,] `(funnel [^`]*)`", COMMANDS))))
def test_a_command_of_the_table_is_understood(demo: Funnel, command: str) -> None:
    words = command.replace("DIR", str(demo.home / "demo")).partition(" -- ")[0].split()
    outcome = demo.run(*words, "--help")
    assert outcome.returncode == 0
    assert "Example:" in outcome.stdout
