"""`funnel doctor`."""

import click

from runner.commands.options import Invocation, command_options
from runner.errors import ExitCode


@click.command()
@click.option(
    "--performance", is_flag=True, help="Check instead how fast the database can serve a run."
)
@command_options
def doctor(invocation: Invocation, performance: bool) -> ExitCode:
    """Check what a run needs, and say how to fix what is missing.

    Example: funnel doctor --target prod
    """
    from runner.doctor.performance import examine_performance
    from runner.doctor.setup import examine
    from runner.text.text_table import TextTable

    look = examine_performance if performance else examine
    findings = list(look(invocation.project))
    lines = []
    for finding in findings:
        lines.append((f"{finding.status:<4}", f"{finding.name}: {finding.detail}"))
        lines += [("", finding.remedy)] if finding.remedy else []
    document = {"findings": [finding.document() for finding in findings]}
    invocation.console.show(TextTable((), lines, names=1, has_note=True).draw(), document)
    failed = any(finding.status == "fail" for finding in findings)
    return ExitCode.COULD_NOT_RUN if failed else ExitCode.DONE
