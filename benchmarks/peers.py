"""Other tools that count plain daily numbers, in a virtual environment of their own."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from benchmarks.raw_rows import LAST_DAY
from benchmarks.stage import ROOT, Cost, Stage

VENV = ROOT / ".funnel" / "benchmark-venv"
REQUIREMENTS = Path(__file__).with_name("peers.txt")

# What funnel's daily tables come closest to in one plain statement: no new deals, no days without
# events, no labels.
_COUNTS = {
    "daily_activities": (
        "activity",
        "due_to",
        "select cast(due_to as date) as event_date, type, count(distinct deal_id) as deals_count"
        " from {source} where done{window} group by 1, 2",
    ),
    "daily_changes": (
        "deal_changes",
        "change_time",
        "select cast(change_time as date) as event_date, changed_field_key, new_value,"
        " count(distinct deal_id) as deals_count"
        " from {source} where changed_field_key <> 'add_time'{window} group by 1, 2, 3",
    ),
}


def install() -> Path:
    """Return the folder of the commands of the peers' environment, made when there is none."""
    folder = VENV / "bin"
    if not (VENV / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(folder / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True, timeout=900)
        (VENV / "installed").touch()
    return folder


def set_up_sqlmesh(stage: Stage) -> Path:
    """Write a SQLMesh project and have it build all days once; return its folder."""
    folder = stage.home / "sqlmesh"
    (folder / "models").mkdir(parents=True)
    begin = stage.history.first_day
    (folder / "config.yaml").write_text(
        f"gateways:\n  postgres:\n    connection:\n      type: postgres\n"
        f"      host: {stage.server.socket_dir}\n      port: 5432\n      user: postgres\n"
        f"      password: ''\n      database: postgres\n      concurrent_tasks: 4\n"
        f"default_gateway: postgres\n"
        f"model_defaults:\n  dialect: postgres\n  start: '{begin}'\n  cron: '@daily'\n"
    )
    for name, (table, column, query) in _COUNTS.items():
        window = f" and {column} >= @start_dt and {column} < @end_dt + interval '1 microsecond'"
        (folder / "models" / f"{name}.sql").write_text(
            f"model (name peer_sqlmesh.{name}, kind incremental_by_time_range ("
            f"time_column event_date), end '{LAST_DAY}');\n\n"
            + query.format(source=f"pipedrive_raw.{table}", window=window)
            + "\n"
        )
    _sqlmesh(stage, folder, "plan")
    return folder


def restate_with_sqlmesh(stage: Stage, folder: Path) -> Cost:
    """Have SQLMesh count all days again."""
    models = [part for name in _COUNTS for part in ("--restate-model", f"peer_sqlmesh.{name}")]
    window = ("--start", str(stage.history.first_day), "--end", str(LAST_DAY))
    return _sqlmesh(stage, folder, "plan", *models, *window)


def set_up_microbatch(stage: Stage) -> Path:
    """Write a dbt project whose models are made day by day; return its folder."""
    folder = stage.home / "microbatch"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(
        "name: microbatch\nprofile: microbatch\nflags: {send_anonymous_usage_stats: false}\n"
    )
    (folder / "profiles.yml").write_text(
        "microbatch:\n  target: local\n  outputs:\n    local:\n      type: postgres\n"
        f"      host: {stage.server.socket_dir}\n      port: 5432\n      user: postgres\n"
        "      password: ''\n      dbname: postgres\n      schema: peer_microbatch\n"
        "      threads: 4\n"
    )
    sources = ["sources:", "  - name: pipedrive_raw", "    tables:"]
    for name, (table, column, query) in _COUNTS.items():
        sources += [f"      - name: {table}", f"        config: {{event_time: {column}}}"]
        keys = "['event_date', 'type']"
        if table == "deal_changes":
            keys = "['event_date', 'changed_field_key', 'new_value']"
        source = "{{ source('pipedrive_raw', '" + table + "') }}"
        (folder / "models" / f"{name}.sql").write_text(
            "{{ config(materialized='incremental', incremental_strategy='microbatch',"
            f" event_time='event_date', begin='{stage.history.first_day}', batch_size='day',"
            f" unique_key={keys}) }}}}\n\n" + query.format(source=source, window="") + "\n"
        )
    (folder / "models" / "sources.yml").write_text("\n".join(sources) + "\n")
    return folder


def run_microbatch(stage: Stage, folder: Path, days: int) -> Cost:
    """Have dbt count the last days again, one after the other."""
    end = LAST_DAY + timedelta(days=1)
    window = ("--event-time-start", str(end - timedelta(days=days)), "--event-time-end", str(end))
    return stage.dbt("run", *window, project=folder)


def _sqlmesh(stage: Stage, folder: Path, command: str, *arguments: str) -> Cost:
    sqlmesh = str(install() / "sqlmesh")
    apply = ("--auto-apply", "--no-prompts", "--skip-tests")
    return stage.run(
        [sqlmesh, "--paths", str(folder), command, *arguments, *apply],
        {"SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "1", "HOME": str(stage.home)},
    )
