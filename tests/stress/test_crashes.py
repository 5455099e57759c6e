"""Whatever is killed, and whenever: one more backfill gives what one clean run gives.

The moments are random: FUNNEL_CRASHES=60 tries more of them, FUNNEL_SEED=… the same ones again.
"""

import os
import random
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from processes import BACKFILL, QUICKLY, Command, ForkServer, Home

from runner.postgres.server import LocalPostgres

pytestmark = pytest.mark.long

pytest_plugins = ["processes"]

CRASHES = int(os.environ.get("FUNNEL_CRASHES", "2"))
SEED = int(os.environ.get("FUNNEL_SEED") or secrets.randbits(32))


@dataclass
class Pace:
    """How long a backfill takes at present."""

    seconds: float


@pytest.fixture(scope="module")
def pace(built_home: Home, processes: ForkServer) -> Pace:
    built_home.spoil()
    begin = time.monotonic()
    processes.start(built_home.funnel, *BACKFILL).done()
    assert built_home.fingerprint() == built_home.clean
    return Pace(time.monotonic() - begin)


def kill_runner(_: Home, command: Command) -> None:
    command.send_signal(signal.SIGKILL)


def kill_server(home: Home, _: Command) -> None:
    """Stop the server at once, as `pg_ctl stop -m immediate` does: no session is heard."""
    pid_file = LocalPostgres(home.funnel.home).data_directory / "postmaster.pid"
    os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)


@pytest.mark.parametrize("kill", [kill_runner, kill_server])
@pytest.mark.parametrize("number", range(CRASHES))
def test_after_a_crash_one_more_backfill_gives_what_a_clean_one_gives(
    home: Home,
    processes: ForkServer,
    pace: Pace,
    number: int,
    kill: Callable[[Home, Command], None],
) -> None:
    chance = random.Random(f"{SEED} {kill.__name__} {number}")  # noqa: S311
    share = chance.uniform(number, number + 1) / CRASHES
    begin = home.now()
    command = start_and_wait(home, processes, pace, share, spoil=number % 2 == 1)
    kill(home, command)
    killed = command.wait()
    print(f"FUNNEL_SEED={SEED}: {kill.__name__} at {share:.0%} of {pace.seconds:.2f} s:")
    print(f"exit code {killed.returncode}, {killed.stderr}")
    if kill is kill_runner:
        assert killed.returncode in (-signal.SIGKILL, 0)
    elif killed.returncode:
        assert killed.returncode in (1, 2)
        assert killed.stderr.splitlines()[-1].startswith(("Error: ", "To go on"))
        assert "Traceback" not in killed.stderr
        assert "Error: unexpected" not in killed.stderr

    # The server may not yet know that the one with the lock is dead.
    wait = ("--wait", "60")
    again = processes.run(home.funnel, "backfill", "--resume", *QUICKLY, *wait)
    if "there is no backfill to resume" in again.stderr:
        again = processes.run(home.funnel, *BACKFILL, *wait)
    assert again.returncode == 0, again.stderr

    assert home.fingerprint() == home.clean
    home.assert_tidy()
    outcomes = home.outcomes(since=begin)
    # Where dbt outlives the server's end, it says itself that its run has failed.
    bad = [outcome for outcome in outcomes if outcome != "success"]
    assert bad in ([], ["crashed"], ["failed"]), outcomes
    assert outcomes[-1] == "success"
    events = "select event from pipedrive_meta.run_events where event like 'backfill%'"
    last = home.funnel.query(f"{events} order by happened_at desc limit 1")
    assert last == [("backfill_ended",)]


def start_and_wait(
    home: Home, processes: ForkServer, pace: Pace, share: float, *, spoil: bool
) -> Command:
    """Start a backfill and return when it has got so far; a faster one than ever is repeated."""
    for _ in range(5):
        if spoil:
            home.spoil()
        else:
            home.drop()
        begin = time.monotonic()
        command = processes.start(home.funnel, *BACKFILL)
        while time.monotonic() < begin + share * pace.seconds and not command.has_ended:
            time.sleep(0.005)
        if not command.has_ended:
            break
        pace.seconds = time.monotonic() - begin
    return command
