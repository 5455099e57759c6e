"""Other tools that count per day, in a virtual environment of their own."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from benchmarks.raw_rows import LAST_DAY
from benchmarks.stage import ROOT, Cost, Stage

VENV = ROOT / ".funnel" / "benchmark-venv"
REQUIREMENTS = Path(__file__).with_name("peers.txt")

# What funnel's daily tables come closest to in one plain statement: no new deals, no days without
# events, no labels.
_PLAIN_COUNTS = {
    "daily_activities": (
        "activity",
        "due_to",
        "select cast(due_to as date) as event_date, type, count(distinct deal_id) as deals_count"
        " from {source} where done group by 1, 2",
    ),
    "daily_changes": (
        "deal_changes",
        "change_time",
        "select cast(change_time as date) as event_date, changed_field_key, new_value,"
        " count(distinct deal_id) as deals_count"
        " from {source} where changed_field_key <> 'add_time' group by 1, 2, 3",
    ),
}

# The rows of funnel's daily tables: both counts, a row for each day and KPI. Of the names of KPIs,
# which take no time to look up, it reads what funnel has built.
_DENSE_COUNTS = """
with events as ({events}),
counts as (
    select event_date, {kpi}, count(distinct deal_id) as deals_count from events group by 1, {kpi}
),
first_days as (
    select min(event_date) as event_date, {kpi}, deal_id
    from events group by date_trunc('month', event_date), {kpi}, deal_id
),
new_counts as (
    select event_date, {kpi}, count(*) as deals_count from first_days group by 1, {kpi}
),
days as (
    select cast(day as date) as event_date
    from generate_series(cast(@start_ds as timestamp), cast(@end_ds as timestamp),
        interval '1 day') as t(day)
),
kpis as (select distinct {kpi}, funnel_step from pipedrive_staging.{kpis})
select days.event_date, {named}, kpis.funnel_step,
    coalesce(counts.deals_count, 0) as deals_count,
    coalesce(new_counts.deals_count, 0) as new_deals_count
from days
cross join kpis
left join counts on days.event_date = counts.event_date and {same_as_counts}
left join new_counts on days.event_date = new_counts.event_date and {same_as_new_counts}
"""
_BRANCHES = {
    "daily_activity_stats": (
        ("kpi_name",),
        "activity_kpis",
        """
        select cast(due_to as date) as event_date, deal_id,
            coalesce(named.kpi_name, other.kpi_name) as kpi_name
        from pipedrive_raw.activity
        cross join pipedrive_staging.activity_kpis as other
        left join pipedrive_staging.activity_kpis as named
            on lower(trim(activity.type)) = named.activity_type
        where other.activity_type is null and done and deal_id is not null
            and due_to >= @start_dt and due_to < @end_dt + interval '1 microsecond'
        """,
    ),
    "daily_deal_stats": (
        ("field", "kpi_name"),
        "deal_kpis",
        """
        select cast(change_time as date) as event_date, deal_id, other.field,
            coalesce(named.kpi_name, other.kpi_name) as kpi_name
        from pipedrive_raw.deal_changes
        inner join pipedrive_staging.deal_kpis as other
            on lower(trim(changed_field_key)) = other.field and other.field_value is null
        left join pipedrive_staging.deal_kpis as named
            on other.field = named.field and lower(trim(new_value)) = named.field_value
        where deal_id is not null and (named.kpi_name is not null or other.field = 'add_time'
            or (trim(new_value) <> '' and other.kpi_name is not null))
            and change_time >= @start_dt and change_time < @end_dt + interval '1 microsecond'
        """,
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
    for name, (columns, kpis, events) in _BRANCHES.items():
        query = _DENSE_COUNTS.format(
            events=events,
            kpi=", ".join(columns),
            kpis=kpis,
            named=", ".join(f"kpis.{column}" for column in columns),
            same_as_counts=_same("counts", columns),
            same_as_new_counts=_same("new_counts", columns),
        )
        (folder / "models" / f"{name}.sql").write_text(
            f"model (name peer_sqlmesh.{name}, kind incremental_by_time_range ("
            f"time_column event_date), end '{LAST_DAY}');\n{query}"
        )
    _sqlmesh(stage, folder, "plan")
    return folder


def restate_with_sqlmesh(stage: Stage, folder: Path) -> Cost:
    """Have SQLMesh count all days again."""
    models = [part for name in _BRANCHES for part in ("--restate-model", f"peer_sqlmesh.{name}")]
    window = ("--start", str(stage.history.first_day), "--end", str(LAST_DAY))
    return _sqlmesh(stage, folder, "plan", *models, *window)


def check_sqlmesh(stage: Stage) -> None:
    """Compare SQLMesh's rows with those of the models.

    Raises:
        RuntimeError: They differ, so that the comparison would be none.
    """
    with closing(stage.connect()) as connection, connection.cursor() as cursor:
        for name in _BRANCHES:
            ours, theirs = f"table pipedrive_analytics.{name}", f"table peer_sqlmesh.{name}"
            cursor.execute(f"({ours} except all {theirs}) union all ({theirs} except all {ours})")
            if row := cursor.fetchone():
                raise RuntimeError(f"{name} by SQLMesh differs from the model's: {row}")


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
    for name, (table, column, query) in _PLAIN_COUNTS.items():
        sources += [f"      - name: {table}", f"        config: {{event_time: {column}}}"]
        keys = "['event_date', 'type']"
        if table == "deal_changes":
            keys = "['event_date', 'changed_field_key', 'new_value']"
        source = "{{ source('pipedrive_raw', '" + table + "') }}"
        (folder / "models" / f"{name}.sql").write_text(
            "{{ config(materialized='incremental', incremental_strategy='microbatch',"
            f" event_time='event_date', begin='{stage.history.first_day}', batch_size='day',"
            f" unique_key={keys}) }}}}\n\n" + query.format(source=source) + "\n"
        )
    (folder / "models" / "sources.yml").write_text("\n".join(sources) + "\n")
    return folder


def run_microbatch(stage: Stage, folder: Path, days: int) -> Cost:
    """Have dbt count the last days again, one after the other."""
    end = LAST_DAY + timedelta(days=1)
    window = ("--event-time-start", str(end - timedelta(days=days)), "--event-time-end", str(end))
    return stage.dbt("run", *window, project=folder)


def _same(table: str, columns: Sequence[str]) -> str:
    return " and ".join(f"kpis.{column} = {table}.{column}" for column in columns)


def _sqlmesh(stage: Stage, folder: Path, command: str, *arguments: str) -> Cost:
    sqlmesh = str(install() / "sqlmesh")
    apply = ("--auto-apply", "--no-prompts", "--skip-tests")
    return stage.run(
        [sqlmesh, "--paths", str(folder), command, *arguments, *apply],
        {"SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "1", "HOME": str(stage.home)},
    )
