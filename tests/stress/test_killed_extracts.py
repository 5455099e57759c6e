"""`funnel extract` killed at random moments, and once more: as if nobody had been killed.

FUNNEL_CRASHES=60 kills more often, FUNNEL_SEED=… at the same moments.
"""

import os
import secrets
import signal
import time
from dataclasses import replace

from homes import Funnel
from pipedrive import Account, serve
from processes import ForkServer

pytest_plugins = ["processes"]

CRASHES = int(os.environ.get("FUNNEL_CRASHES", "2"))
SEED = int(os.environ.get("FUNNEL_SEED") or secrets.randbits(32))
CHUNK = 250
ROWS = "select deal_id, change_time, changed_field_key, new_value from pipedrive_raw.deal_changes"
COMMAND = ("extract", "--burst", "500")


def test_nothing_is_missing_or_there_twice(empty: Funnel, processes: ForkServer) -> None:
    print("seed", SEED)
    account = Account(SEED, deals=600)
    with serve(account) as server:
        home = replace(empty, environment=server.environment)
        for _ in range(CRASHES):
            command = processes.start(home, *COMMAND)
            time.sleep(account.random.uniform(0.2, 3))
            command.send_signal(signal.SIGKILL)
            command.wait()
        processes.start(home, *COMMAND).done()
        found = home.query(ROWS)
        assert set(found) == account.changes()
        assert len(found) == len(set(found))
        # A kill loses at most one chunk.
        assert server.asked["changelog"] <= len(account.deals) + CRASHES * CHUNK
        assert server.refused == 0
