"""What is printed and written: nothing that a terminal or a spreadsheet obeys, whole files only."""

import json
import resource
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from homes import ROOT

from runner.console import Console, harmless, write_file
from runner.errors import FunnelError
from runner.show.documents import csv_view
from runner.show.rows import FunnelStep, Period
from runner.show.view import Seen
from runner.show.views import VIEWS
from runner.transform.dbt_runner import one_line

OBEYED = {
    "a colour": "\x1b[31m",
    "a title": "\x1b]0;x\x07",
    "a link": "\x1b]8;;http://x\x1b\\",
    "a C1 sequence": "\x9b31m",
    "a carriage return": "\r",
    "a backspace": "\b",
    "a deletion": "\x7f",
    "a NUL": "\0",
    "right to left": "\u202e",
    "an isolate": "\u2067",
    "a mark of direction": "\u200f",
    "an Arabic mark": "\u061c",
    "a line separator": "\u2028",
    "half a character": "\ud800",
}


@pytest.mark.parametrize("sign", OBEYED.values(), ids=OBEYED.keys())
def test_nothing_that_a_terminal_obeys_is_printed(
    sign: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"Lead{sign}Generation"
    Console().show(text, {})
    Console().say(text)
    Console().warn(text)
    Console().fail(FunnelError(text, hint=text))
    printed = capsys.readouterr()
    Console(as_json=True).show("", {"name": text})
    document = capsys.readouterr().out
    for said in (printed.out, printed.err.replace("\x1b[33m", "").replace("\x1b[0m", ""), document):
        assert said == harmless(said)
        assert "Lead" in said
    assert json.loads(document) == {"name": text}


def test_a_traceback_is_harmless_too(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("\x1b[31m")
    except ValueError:
        Console(debug=True).trace()
        Console().trace()
    said = capsys.readouterr().err
    assert said.count("ValueError: \ufffd[31m") == 1
    assert "\x1b" not in said


def test_letters_of_all_people_stay(capsys: pytest.CaptureFixture[str]) -> None:
    text = "Führung\u00a0商談 عميل שלום 🙂\tx\ny"
    Console().show(text, {})
    assert capsys.readouterr().out == text + "\n"


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_a_csv_cell_is_no_formula_unless_raw(sign: str) -> None:
    name = f"{sign}cmd|' /C calc'!A0"
    step = FunnelStep(date(2024, 5, 1), name, "1", -5, 1, 1)
    seen = Seen(Period.ending(date(2024, 5, 1), 1), {"months": [step]}, {})
    # From Python 3.13 on a carriage return is quoted.
    safe, raw = (csv_view(VIEWS["funnel"], seen, raw=raw).replace('"', "") for raw in (False, True))
    assert f"2024-05-01,'{name},1,-5," in safe
    assert f"2024-05-01,{name},1,-5," in raw


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_file(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(FunnelError, match=r"^cannot write .*report.html: File too large$"):
            write_file(path, 2048 * b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "link").symlink_to(path)
    write_file(tmp_path / "link", b"new")
    assert path.read_bytes() == b"new"
    write_file(Path("/dev/null"), b"gone")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--help", "cannot write to stdout: No space left on device"),
        ("show --json --csv", "--csv and --json exclude each other. Give one of the two."),
    ],
)
def test_a_full_stdout_is_one_line(arguments: str, said: str) -> None:
    outcome = subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' -m runner.cli {arguments} > /dev/full"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert outcome.stderr == f"Error: {said}\n"
    assert outcome.returncode == 2


def test_a_vanished_working_folder_is_one_line(tmp_path: Path) -> None:
    script = f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir ../gone; exec '{sys.executable}' -m"
    outcome = subprocess.run(
        ["/bin/sh", "-c", f"{script} runner.cli plan"],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/bin"},
    )
    assert outcome.returncode == 2
    assert outcome.stderr == "Error: the working folder is gone. Change into another one.\n"


def test_an_error_of_dbt_quotes_no_statement() -> None:
    message = """Database Error in model deals (models/marts/deals.sql)
      could not extend file "base/5/1": No space left on device
      LINE 1: insert into deals select secret
                          ^
      HINT:  Check free disk space.
      CONTEXT:  SQL statement "insert into deals
        select secret
        from deal_states"
      compiled code at .funnel/target/run/funnel/models/marts/deals.sql"""
    assert one_line(message) == (
        'could not extend file "base/5/1": No space left on device HINT:  Check free disk space.'
    )
