"""The demo: generated data, loaded, processed, tested and shown on the embedded Postgres."""

from runner.console import Console
from runner.errors import FunnelError
from runner.months.pipeline import RunOptions, RunReport, run_window
from runner.months.window import Window
from runner.project import Project
from runner.raw.demo_data import LAST_DAY, write_demo
from runner.raw.directory import load_demo
from runner.text.words import count, plural
from runner.warehouse.connection import open_postgres
from runner.warehouse.lock import hold_lock


def run_demo(project: Project, console: Console, *, wait: float = 0) -> RunReport:
    """Generate the data set, load it and process its two years.

    Args:
        project: Has the target local.
        console: What is said goes there.
        wait: Seconds to wait for another writer.

    Raises:
        FunnelError: The target is not local, or its raw schema holds somebody's data.
    """
    if project.target != "local":
        raise FunnelError(
            f"the demo works on the embedded Postgres, not on target {project.target}",
            hint="Type `funnel demo --target local`.",
        )
    directory = project.home / "demo"
    with open_postgres(project) as connection:
        # Not while another run is at work: the load drops what is built, the lock's table too.
        with hold_lock(project, connection, "funnel demo", wait=wait):
            summary = write_demo(directory)
        result = load_demo(connection, project, directory)
        console.say(
            f"Loaded {count(sum(result.rows.values()))} generated rows about "
            f"{plural(summary.deals, 'deal')}, "
            f"{summary.first_day} to {summary.last_day}"
        )
        return run_window(project, Window(LAST_DAY), RunOptions(wait=wait), console)
