"""What `funnel extract` costs: requests, tokens, seconds and memory, against the test server.

PYTHONPATH=tests/support python -m benchmarks.extract --deals 5000 --write
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from math import ceil
from pathlib import Path

from homes import Funnel, running_home
from pipedrive import Account, Server, serve

BURST = 120
"""Requests in two seconds that the largest plan allows."""

USUAL = 5000
PAGE = 500
LIMIT_MB = 200
MOST_REQUESTS = 1.02
ROWS = "select count(*) from pipedrive_raw.deal_changes"


# A process begins with the memory of the one that starts it, which here holds the account.
IN_BETWEEN = """
import os, subprocess, sys
with subprocess.Popen(sys.argv[1:]) as process:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(process.returncode)
"""


def main() -> None:
    """Measure, and write the table where --write is given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--deals", type=int, default=USUAL)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    account = Account(seed=1, deals=arguments.deals)
    for activity_id in range(3 * arguments.deals + 1, 5 * arguments.deals + 1):
        account.add_activity(activity_id)
    with running_home() as home, serve(account, BURST) as server:
        server.is_strict = False  # it has two cores to share
        lines = [measure(home, server, "first extract", len(account.deals))]
        lines.append(measure(home, server, "again, nothing changed", 0))
        changed = account.change_deals(arguments.deals // 50)
        lines.append(measure(home, server, f"after {len(changed)} deals changed", len(changed)))
        check(home.query(ROWS) == [(len(account.changes()),)], "rows are missing")
    text = TEXT.format(
        command="`make bench-extract`"
        if arguments.deals == USUAL
        else f"`python -m benchmarks.extract --deals {arguments.deals} --write`, with "
        "`PYTHONPATH=tests/support`,",
        deals=len(account.deals),
        activities=len(account.activities),
        changes=len(account.changes()),
        cores=os.cpu_count(),
        system=f"{platform.system()} {platform.machine()}",
        burst=BURST,
        lines="\n".join(lines),
    )
    print(text)
    if arguments.write:
        name = "extract.md" if arguments.deals == USUAL else f"extract-{arguments.deals}.md"
        Path(__file__).with_name(name).write_text(text)


TEXT = """\
# What an extract costs

{command} against the test server on {cores} cores, {system}: {deals:,} deals with {changes:,} changes and
{activities:,} activities, at {burst} requests in two seconds, the limit of the largest plan. The fewest requests that the API allows are one for each
deal that changed, and one for each page of a list. Goals: at most 2 % more than these, no answer 429, at most 200 MB.

| | requests | fewest | tokens | answers 429 | seconds | memory |
|---|---|---|---|---|---|---|
{lines}

Seconds are those of the whole command with the test server on the same machine. A smaller plan takes longer in proportion to its limit.
"""  # noqa: E501 - lines of a page


def measure(home: Funnel, server: Server, name: str, changed: int) -> str:
    """Return a line about one extract in a process of its own."""
    account = server.account
    archived = sum(deal.is_archived for deal in account.deals.values())
    pages = (ceil((len(account.deals) - archived) / PAGE), ceil(archived / PAGE))
    fewest = changed + sum(pages) + ceil(len(account.activities) / PAGE) + 6
    before = server.refused
    environment = {**home.full_environment(), **server.environment}
    command = [sys.executable, "-m", "runner.cli", "extract", "--json", "--quiet"]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", IN_BETWEEN, *command, "--burst", str(BURST)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=home.directory,
    )
    seconds = time.monotonic() - begin
    check(done.returncode == 0, "the extract failed")
    summary = json.loads(done.stdout)
    memory = int(done.stderr.split()[-1]) / 1024
    refused = server.refused - before
    line = (
        f"| {name} | {summary['requests']:,} | {fewest:,} | {summary['tokens']:,} | {refused} | "
        f"{seconds:.0f} | {memory:.0f} MB |"
    )
    print(line, flush=True)
    check(refused == 0, "requests were refused")
    check(memory < LIMIT_MB, "too much memory")
    check(summary["requests"] <= MOST_REQUESTS * fewest, "too many requests")
    return line


def check(is_true: bool, otherwise: str) -> None:
    """End where a goal is missed."""
    if not is_true:
        raise SystemExit(otherwise)


if __name__ == "__main__":
    main()
