"""`funnel show`."""

from dataclasses import replace
from datetime import date
from difflib import get_close_matches

import click

from runner.commands.options import Invocation, command_options, parse_month, range_of
from runner.console import Console
from runner.errors import FunnelError
from runner.text.words import listed

DEAL = "deal"
NAMES = ("funnel", "conversion", "velocity", "losses", "owners", "stalled", "forecast")


class _View(click.Choice[str]):
    """A name of NAMES; a misspelt one gets the nearest as a proposal."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            nearest = get_close_matches(value, self.choices, n=1, cutoff=0.7)
            there = listed([*self.choices])
            proposal = f"Did you mean {nearest[0]}?" if nearest else f"There are {there}."
            raise click.UsageError(f"there is no view {value}. {proposal}")
        return super().convert(value, param, ctx)


@click.command()
@click.argument("view", type=_View([*NAMES, DEAL]), default=NAMES[0])
@click.argument("deal", type=click.IntRange(1), metavar="[ID]", required=False)
@click.option(
    "--month",
    metavar="YYYY-MM",
    help="The month to show; the latest complete one with data if not given.",
)
@click.option("--from", "since", metavar="YYYY-MM", help="Show the months from this one on.")
@click.option("--to", "until", metavar="YYYY-MM", help="With --from: the last month.")
@click.option("--last", type=range_of("months"), metavar="N", help="Show the last N months.")
@click.option("--pipeline", metavar="NAME", help="The funnel of one pipeline, by name or number.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with the columns of the model.")
@click.option("--raw", is_flag=True, help="With --csv: cells as they are, formulas too.")
@click.option("--names", is_flag=True, help="Show the names of owners, not their ids.")
@command_options
def show(
    invocation: Invocation,
    view: str,
    deal: int | None,
    month: str | None,
    since: str | None,
    until: str | None,
    last: int | None,
    pipeline: str | None,
    as_csv: bool,
    raw: bool,
    names: bool,
) -> None:
    """Show the funnel: a month as bars, or the last months side by side.

    \b
    VIEW is what to show:
      funnel      deals that entered a step in a month (if none is given)
      conversion  how many of the deals created in a month came to a step
      velocity    days in a step
      losses      where and why deals were lost, and the share won
      owners      deals that entered a step, by owner
      stalled     open deals that have not moved for long, as of the reference date
      forecast    wins to expect of the open deals, and how that came out in the past
      deal ID     one deal: what happened to it, what that counts in, and why not

    \b
    Example: funnel show --month 2024-05
             funnel show --last 12 --json
             funnel show --from 2024-01 --to 2024-06
             funnel show conversion --last 6
             funnel show --pipeline Sales
    """
    from runner.months.ledger import find_deals_known_through
    from runner.project import META
    from runner.show.documents import csv_view, document_view
    from runner.show.rows import read_owner_names, require_built
    from runner.show.view import Choice, draw_view, of_pipeline, read_view
    from runner.show.views import PIPELINE, VIEWS
    from runner.text.text_table import terminal_width
    from runner.warehouse.completeness import read_completeness
    from runner.warehouse.opening import open_warehouse

    if view == DEAL or deal:
        return _show_deal(
            invocation, view, deal, any((as_csv, names, pipeline, month, last, since))
        )
    console, project = invocation.console, invocation.project
    shown = PIPELINE if pipeline else VIEWS[view]
    if pipeline and view != NAMES[0]:
        raise FunnelError(
            f"{view} covers all pipelines that count",
            hint="--pipeline is for the funnel; the var pipelines leaves pipelines out.",
        )
    if names and not shown.has_owners:
        raise FunnelError(f"{view} has no owners", hint="--names is for owners and stalled.")
    choice = Choice(*_choose_months(month, last, since, until))
    if shown.default_months is None and choice != Choice():
        raise FunnelError(f"{view} is as of the reference date", hint="Leave the months out.")
    _check_form(console, as_csv=as_csv, raw=raw)
    with open_warehouse(project) as engine:
        require_built(engine, project)
        seen = read_view(
            engine,
            project,
            shown,
            choice,
            find_deals_known_through(engine, project.schema(META)),
        )
        history = read_completeness(engine, project)
        if pipeline:
            seen = of_pipeline(seen, pipeline)
        if names:
            seen = replace(seen, names=read_owner_names(engine, project))
    if history and (history.begin or history.unread_deals):
        other = "; other months may lack deals" if history.begin else ""
        console.warn(f"the history of deals is complete {history.describe()}{other}")
    if as_csv and seen.warning:
        console.warn(seen.warning)
    text = csv_view(shown, seen, raw=raw) if as_csv else draw_view(shown, seen, terminal_width())
    console.show(text, document_view(shown, seen), raw=raw)


def _check_form(console: Console, *, as_csv: bool, raw: bool) -> None:
    if as_csv and console.as_json:
        raise FunnelError("--csv and --json exclude each other", hint="Give one of the two.")
    if raw and not as_csv:
        raise FunnelError("--raw is for --csv", hint="Add --csv.")


def _choose_months(
    month: str | None, last: int | None, since: str | None, until: str | None
) -> tuple[date | None, int | None, date | None]:
    """Return one month, or the number of the last ones, or the last month and the first."""
    if sum(map(bool, (month, last, since or until))) > 1:
        raise FunnelError("--month, --last and --from exclude each other", hint="Give one of them.")
    if until and not since:
        raise FunnelError("--to needs --from", hint="Or say --month for one month.")
    first = parse_month(since, "--from") if since else None
    final = parse_month(until, "--to") if until else parse_month(month) if month else None
    if first and final and first > final:
        raise FunnelError("--from is after --to", hint="Give the earlier month first.")
    return final, last, first


def _show_deal(invocation: Invocation, view: str, deal: int | None, has_options: bool) -> None:
    from runner.months.ledger import find_deals_known_through
    from runner.project import META
    from runner.show.deal import read_deal
    from runner.show.rows import require_built
    from runner.text.text_table import terminal_width
    from runner.warehouse.opening import open_warehouse

    if deal is None:
        raise FunnelError("deal needs a number", hint="Type `funnel show deal ID`.")
    if view != DEAL:
        raise FunnelError(f"{view} takes no number", hint=f"Type `funnel show deal {deal}`.")
    if has_options:
        raise FunnelError("deal takes no option but --json", hint="Leave the others out.")
    project = invocation.project
    with open_warehouse(project) as engine:
        require_built(engine, project)
        known_through = find_deals_known_through(engine, project.schema(META))
        life = read_deal(engine, project, deal, known_through)
    invocation.console.show(life.draw(terminal_width()), life.document())
