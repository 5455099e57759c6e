"""The lock of a lake: a file that only one process can create."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import ExitCode, FunnelError
from runner.warehouse.lock_file import describe_file, hold_file


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lake.lock"


def hold(lock: Path, *, steal: bool = False, wait: float = 0) -> None:
    with hold_file(lock, "funnel run", wait=wait, steal=steal):
        pass


def test_one_holds_it_and_the_second_learns_who(lock: Path) -> None:
    with hold_file(lock, "funnel backfill", wait=0, steal=False):
        said = f"funnel backfill of .* on {socket.gethostname()}, process {os.getpid()}, since 20"
        with pytest.raises(FunnelError, match=f"another run holds the lock: {said}") as refusal:
            hold(lock, wait=0.3)
        assert refusal.value.exit_code is ExitCode.LOCKED
        assert refusal.value.hint == "Wait until it ends, or add --wait SECONDS."
    assert describe_file(lock) == ""
    hold(lock)
    assert list(lock.parent.iterdir()) == []


def test_the_lock_of_a_process_that_was_killed_is_taken_only_on_purpose(lock: Path) -> None:
    holder = "; ".join(
        (
            "import os, signal, sys",
            "from pathlib import Path",
            "from runner.warehouse.lock_file import hold_file",
            "held = hold_file(Path(sys.argv[1]), 'funnel run', wait=0, steal=False)",
            "held.__enter__()",
            "os.kill(os.getpid(), signal.SIGKILL)",
        )
    )
    subprocess.run([sys.executable, "-c", holder, str(lock)], check=False)
    assert describe_file(lock).endswith("which is gone")
    with pytest.raises(FunnelError, match="which is gone") as refusal:
        hold(lock)
    assert refusal.value.hint == "Add --steal-lock, as nobody holds it any more."
    hold(lock, steal=True)
    hold(lock)


def test_whose_lock_was_stolen_leaves_that_of_the_thief(lock: Path) -> None:
    with hold_file(lock, "funnel run", wait=0, steal=False):
        stolen = json.loads(lock.read_text()) | {"purpose": "the thief"}
        lock.write_text(json.dumps(stolen))
    assert describe_file(lock).startswith("the thief of ")


def test_of_another_machine_nothing_is_known(lock: Path) -> None:
    with hold_file(lock, "funnel run", wait=0, steal=False):
        there = json.loads(lock.read_text()) | {"host": "elsewhere", "pid": 2**22 + 1}
        lock.write_text(json.dumps(there))
        assert "gone" not in describe_file(lock)
