"""`funnel init`."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, TextIO

import click

from runner.commands.options import Invocation, command_options
from runner.console import Console, write_file
from runner.errors import FunnelError
from runner.project import Project
from runner.settings.declared_vars import replace_list
from runner.settings.env_file import find_env_file, write_env_file
from runner.settings.environment import environment

if TYPE_CHECKING:
    from runner.extract.proposal import Offer, Proposal

_TOKENS = ("PIPEDRIVE_API_TOKEN", "PIPEDRIVE_ACCESS_TOKEN")
_SERVER = {"PGHOST": "localhost", "PGPORT": "5432", "PGUSER": None, "PGDATABASE": None}
"""What the targets dev and prod need, and what is proposed for it."""


@click.command()
@click.option("--company", help="What stands before .pipedrive.com in your browser.")
@click.option(
    "--token-file",
    type=click.File(),
    help="File with the token, - for stdin; never an option, which other users could see."
    "  [default: PIPEDRIVE_API_TOKEN or PIPEDRIVE_ACCESS_TOKEN, else asked for]",
)
@click.option(
    "--pipeline",
    "pipelines",
    multiple=True,
    metavar="NAME",
    help="Count this pipeline only; give it more than once for several.  [default: as now]",
)
@click.option("--replace-steps", is_flag=True, help="Write seeds/funnel_steps.csv without asking.")
@command_options
def init(
    invocation: Invocation,
    company: str | None,
    token_file: TextIO | None,
    pipelines: tuple[str, ...],
    replace_steps: bool,
) -> None:
    """Connect a Pipedrive account: check token and database, write .env, propose the funnel.

    Which pipelines count is the var pipelines in dbt_project.yml; seeds/funnel_steps.csv has the
    steps.

    Asks on a terminal for what no option and no variable says. Ends with funnel extract --dry-run.

    Example: funnel init --company acme --token-file token.txt
    """
    from runner.extract.account import find_account
    from runner.extract.api import Api, asking
    from runner.extract.extract import ExtractOptions, extract
    from runner.extract.proposal import read_offer
    from runner.warehouse.connection import open_postgres

    console, project = invocation.console, _choose_target(invocation.project)
    variables = _ask_for_account(company, token_file) | _ask_for_database(project)
    steps_file = project.root / "seeds" / "funnel_steps.csv"
    present = steps_file.read_text(encoding="utf-8")
    with environment("PIPEDRIVE_(API|ACCESS)_TOKEN", **variables):
        api = Api(find_account(), 20)
        with asking():
            api.check_account()
        console.say(f"The token is one of {api.account.company}")
        with open_postgres(project):
            console.say(f"The database of target {project.target} is there")
        with asking():
            offer = read_offer(api)
        counted = _choose_pipelines(pipelines, offer, project, console)
        proposal = offer.propose(present.splitlines()[0].split(","), counted)
        vars_file = project.root / "dbt_project.yml"
        declared = replace_list(vars_file.read_text(encoding="utf-8"), "pipelines", counted)
        env_file = find_env_file(project.root)
        if env_file:
            write_env_file(env_file, variables)
            console.say(f"Wrote {env_file}, readable by you alone")
        if counted != project.var("pipelines"):
            write_file(vars_file, declared.encode())
            console.say(f"Wrote the var pipelines to {vars_file}")
        is_written = proposal.text == present or _may_write(proposal, console, replace_steps)
        if is_written:
            write_file(steps_file, proposal.text.encode())
        summary = extract(project, ExtractOptions(dry_run=True), console)
    console.say(summary.describe(dry_run=True))
    console.say(
        f"Types of activities that could be steps too: {', '.join(proposal.types)}. Edit "
        "seeds/funnel_steps.csv until it is your funnel, then type `funnel run --extract`."
    )
    document = {
        "env_file": str(env_file) if env_file else None,
        "pipelines": list(offer.pipelines.values()),
        "counted_pipelines": counted,
        "steps_written": is_written,
        "steps": proposal.text.splitlines(),
        "types": proposal.types,
        "extract": asdict(summary),
    }
    console.show("" if is_written else proposal.text.rstrip(), document)


def _choose_target(project: Project) -> Project:
    source = click.get_current_context().get_parameter_source("target")
    if source is not click.core.ParameterSource.DEFAULT or not sys.stdin.isatty():
        return project
    kinds = click.Choice(["local", "prod"])
    text = "Database: local (nothing to install) or prod (your Postgres)"
    return replace(project, target=click.prompt(text, type=kinds, default="local", err=True))


def _ask_for_account(company: str | None, token_file: TextIO | None) -> dict[str, str]:
    given = {"PIPEDRIVE_COMPANY": company or _ask("PIPEDRIVE_COMPANY", "Company")}
    if url := os.environ.get("PIPEDRIVE_API_URL"):
        given["PIPEDRIVE_API_URL"] = url
    if token_file:
        return given | {_TOKENS[0]: token_file.read().strip()}
    held = {name: os.environ[name] for name in _TOKENS if os.environ.get(name)}
    return given | (held or {_TOKENS[0]: _ask(_TOKENS[0], "API token", is_secret=True)})


def _ask_for_database(project: Project) -> dict[str, str]:
    if project.target == "local":
        return {}
    given = {name: _ask(name, name, default=value) for name, value in _SERVER.items()}
    password = _ask("PGPASSWORD", "PGPASSWORD", default="", is_secret=True)
    given |= {"PGPASSWORD": password} if password else {}
    return given | {"FUNNEL_TARGET": project.target}


def _ask(variable: str, label: str, *, default: str | None = None, is_secret: bool = False) -> str:
    """Return what a variable says, else a person, else the default."""
    if os.environ.get(variable):
        return os.environ[variable]
    if sys.stdin.isatty():
        answer: str = click.prompt(
            label, default=default, hide_input=is_secret, show_default=bool(default), err=True
        )
        return answer.strip()
    if default is None:
        raise FunnelError(
            f"{variable} is not set, and there is no terminal to ask on",
            hint="Set it, or see `funnel init --help`.",
        )
    return default


def _choose_pipelines(
    asked: Sequence[str], offer: "Offer", project: Project, console: Console
) -> list[str]:
    """Return what the var pipelines is to be: as asked, else as a person says, else as it is."""
    if asked:
        return offer.find_pipelines(asked)
    present: list[str] = project.var("pipelines")
    if len(offer.pipelines) == 1:
        return present
    names = ", ".join(offer.pipelines.values())
    if not sys.stdin.isatty():
        count = f"{', '.join(present)} count" if present else "all count"
        console.say(f"Pipelines of the account: {names}; {count}. --pipeline NAME chooses.")
        return present

    def read(answer: str) -> list[str]:
        try:
            is_all = answer.strip().casefold() == "all"
            return [] if is_all else offer.find_pipelines(answer.split(","))
        except FunnelError as error:
            raise click.BadParameter(f"{error.message}. {error.hint}") from error

    text = f"Pipelines that count, of {names}"
    default = ", ".join(present) or "all"
    chosen: list[str] = click.prompt(text, default=default, value_proc=read, err=True)
    return chosen


def _may_write(proposal: "Proposal", console: Console, replace_steps: bool) -> bool:
    if replace_steps:
        return True
    console.say(f"\nProposed for seeds/funnel_steps.csv:\n\n{proposal.text}")
    if sys.stdin.isatty():
        question = f"Replace seeds/funnel_steps.csv by these {proposal.steps} steps?"
        return click.confirm(question, default=False, err=True)
    console.say("seeds/funnel_steps.csv is left as it is; --replace-steps writes this instead.")
    return False
