"""What can go wrong, said in one line, and the exit codes that say it to other programs."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `funnel`: dbt's own three, plus the lock and the interrupt."""

    DONE = 0
    """Everything asked for was done."""

    DATA_FAILED = 1
    """The data failed: a model, a test or freshness."""

    COULD_NOT_RUN = 2
    """Nothing could run: wrong usage, no connection, a missing permission, table or package."""

    LOCKED = 3
    """Another run holds the lock."""

    INTERRUPTED = 130
    """Ctrl-C, as shells report it."""


class FunnelError(Exception):
    """An error a person can act on: one line saying what is wrong, one saying what to do next.

    Args:
        message: What is wrong. Never holds a password or an e-mail address.
        hint: What to type or change next.
        exit_code: The exit code of the process.
    """

    def __init__(
        self, message: str, hint: str = "", exit_code: ExitCode = ExitCode.COULD_NOT_RUN
    ) -> None:
        """Keep the parts apart, so that `--json` can print them apart."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
