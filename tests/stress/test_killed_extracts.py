"""First extracts killed at random moments, and once more: as if nobody had been killed.

FUNNEL_CRASHES=60 kills more often, FUNNEL_SEED=… at the same moments. An extract that ends before
its kill is held against the truth, and the next one begins with an empty database.
"""

import os
import secrets
import signal
import time
from dataclasses import replace

import pytest
from homes import Funnel, clear
from pipedrive import Account, Server, serve
from processes import ForkServer

pytestmark = pytest.mark.long

pytest_plugins = ["processes"]

CRASHES = int(os.environ.get("FUNNEL_CRASHES", "2"))
SEED = int(os.environ.get("FUNNEL_SEED") or secrets.randbits(32))
CHUNK = 250
ROWS = "select deal_id, change_time, changed_field_key, new_value from pipedrive_raw.deal_changes"
ACTIVITIES = (
    "select activity_id, type, assigned_to_user, deal_id, done, due_to from pipedrive_raw.activity"
)
COMMAND = ("extract", "--burst", "500")


def assert_true(home: Funnel, server: Server, kills: int) -> None:
    """Expect the truth, nothing twice, and that each kill has lost at most one chunk."""
    account = server.account
    for statement, truth in ((ROWS, account.changes()), (ACTIVITIES, account.all_activities())):
        found = home.query(statement)
        assert set(found) == truth
        assert len(found) == len(set(found))
    assert server.asked["changelog"] <= len(account.deals) + kills * CHUNK
    assert server.refused == 0


def test_nothing_is_missing_or_there_twice(empty: Funnel, processes: ForkServer) -> None:
    print("seed", SEED)
    account = Account(SEED, deals=600)
    with serve(account) as server:
        home = replace(empty, environment=server.environment)
        kills, kills_of_this_one, firsts = 0, 0, 1
        while kills < CRASHES:
            command = processes.start(home, *COMMAND)
            time.sleep(account.random.uniform(0.2, 5))
            command.send_signal(signal.SIGKILL)
            code = command.wait().returncode
            if code == -signal.SIGKILL:
                kills, kills_of_this_one = kills + 1, kills_of_this_one + 1
                continue
            assert code == 0, command.said
            assert_true(home, server, kills_of_this_one)
            clear(home)
            server.asked.clear()
            kills_of_this_one, firsts = 0, firsts + 1
        processes.start(home, *COMMAND).done()
        assert_true(home, server, kills_of_this_one)
        print(f"{kills} kills in {firsts} first extracts")
