"""`funnel doctor`."""

import click

from runner.commands.options import Invocation, command_options
from runner.errors import ExitCode


@click.command()
@click.option(
    "--performance", is_flag=True, help="Say instead how fast the database can answer a run."
)
@command_options
def doctor(invocation: Invocation, performance: bool) -> ExitCode:
    """Look for what a run needs and does not find, and tell how to mend it.

    Example: funnel doctor --target prod
    """
    from runner.doctor.performance import examine_performance
    from runner.doctor.setup import examine

    look = examine_performance if performance else examine
    findings = list(look(invocation.project))
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:<6}{finding.name}: {finding.detail}")
        if finding.remedy:
            lines.append(f"      {finding.remedy}")
    document = {"findings": [finding.document() for finding in findings]}
    invocation.console.show("\n".join(lines), document)
    failed = any(finding.status == "fail" for finding in findings)
    return ExitCode.COULD_NOT_RUN if failed else ExitCode.DONE
