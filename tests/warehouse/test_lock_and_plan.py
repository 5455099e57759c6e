"""One writer at a time, and what a run says before it writes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from homes import ROOT, Funnel, running_home

from runner.raw.demo_data import write_demo


@pytest.mark.long
def test_runs_that_start_together_work_one_after_the_other(tmp_path: Path) -> None:
    write_demo(tmp_path)
    with running_home() as funnel:
        funnel.done("load", str(tmp_path))
        command = [sys.executable, "-m", "runner.cli", "run", "--source-dt", "2024-06-30"]
        options = ["--months", "2", "--no-tests", "--json"]
        waits = [["--wait", "300"], ["--wait", "300"], ["--wait", "300"], []]
        processes = [
            subprocess.Popen(
                [*command, *options, *wait],
                cwd=ROOT,
                env=funnel.full_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for wait in waits
        ]
        outcomes = [(process, *process.communicate(timeout=300)) for process in processes]
        codes = [process.returncode for process, _, _ in outcomes]
        assert codes[:3] == [0, 0, 0], [stderr for _, _, stderr in outcomes]
        assert codes[3] in (0, 3)
        done = [json.loads(stdout) for process, stdout, _ in outcomes if process.returncode == 0]
        assert len({json.dumps(report["funnel"]) for report in done}) == 1
        for process, _, stderr in outcomes:
            if process.returncode == 3:
                assert re.search(
                    r"Error: another run holds the lock: funnel run 2024-06-30", stderr
                )


@pytest.mark.long
def test_a_plan_says_why_and_writes_nothing(empty: Funnel, tmp_path: Path) -> None:
    write_demo(tmp_path)
    empty.done("load", str(tmp_path))
    first = json.loads(empty.done("plan", "--source-dt", "2024-03-15", "--json").stdout)
    assert first["months"][0] == {"month": "2022-04", "reasons": ["first build"]}
    assert len(first["months"]) == 24
    assert empty.query("select to_regnamespace('pipedrive_analytics')") == [(None,)]
    empty.done("run", "--source-dt", "2024-03-15", "--months", "2", "--no-tests")
    later = json.loads(empty.done("plan", "--source-dt", "2024-06-01", "--json").stdout)
    assert later["months"] == [
        {"month": "2024-03", "reasons": ["gap"]},
        {"month": "2024-04", "reasons": ["gap"]},
        {"month": "2024-05", "reasons": ["window"]},
        {"month": "2024-06", "reasons": ["window"]},
    ]
    assert later["dbt_vars"]["reprocess_months"] == ["2024-03", "2024-04"]
    assert later["rows_to_read"]["deal_changes"] > 0
    unhealed = empty.done("plan", "--source-dt", "2024-06-01", "--no-heal").stdout
    assert "gap" not in unhealed
    dry = empty.done("run", "--source-dt", "2024-06-01", "--dry-run").stdout
    assert "2024-03  gap" in dry
    assert "dbt build --target local --vars" in dry
    backfill = empty.done("backfill", "--from", "2024-03-20", "--to", "2024-03-21", "--dry-run")
    assert backfill.stdout.startswith("2024-03  requested")
    built = "select max(date)::text from pipedrive_analytics.daily_deal_stats"
    assert empty.query(built) == [("2024-03-15",)]
