"""What a person or a program reads: stdout is data, stderr is talk."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from runner.errors import FunnelError

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


@dataclass(frozen=True)
class Console:
    """Output of one command.

    Args:
        as_json: Print one JSON object on stdout instead of text.
        quiet: Say nothing but data and errors.
        debug: Show tracebacks.
    """

    as_json: bool = False
    quiet: bool = False
    debug: bool = False

    def say(self, message: str, *, even_if_quiet: bool = False) -> None:
        """Tell a person something, on stderr."""
        if message and (even_if_quiet or not self.quiet):
            write_line(message, err=True)

    def warn(self, message: str) -> None:
        """Tell a person something that may need doing, on stderr."""
        self.say(click.style("Warning: ", fg="yellow") + message)

    def show(self, text: str, document: Mapping[str, Any]) -> None:
        """Print the command's data on stdout: `document` as JSON if asked for, else `text`."""
        if self.as_json:
            write_line(json.dumps(document, indent=2, default=str, ensure_ascii=False))
        elif text:
            write_line(printable(text))

    def fail(self, error: FunnelError) -> None:
        """Print an error: one line on stderr, and an object on stdout if JSON was asked for."""
        if self.as_json:
            parts = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
            write_line(json.dumps({"error": parts}, indent=2))
        sentence = f"{error.message}. {error.hint}".strip() if error.hint else error.message
        write_line(click.style("Error: ", fg="red") + " ".join(sentence.split()), err=True)

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress | None]:
        """Yield what dbt calls with finished and total nodes; a bar on a terminal, else nothing."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        with click.progressbar(length=1, label=label, file=sys.stderr, width=30) as bar:

            def advance(finished: int, total: int) -> None:
                bar.length = total
                bar.update(finished - bar.pos)

            yield advance

    @contextmanager
    def bar(self, label: str, length: int) -> Iterator[Callable[..., None] | None]:
        """Yield what is called with how much was done since, and a text to show beside the bar.

        There is a bar on a terminal only; elsewhere nothing is yielded.
        """
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        with click.progressbar(
            length=length,
            label=label,
            item_show_func=lambda text: text or "",
            show_eta=True,
            file=sys.stderr,
            width=30,
        ) as bar:
            yield bar.update


def write_line(text: str, *, err: bool = False) -> None:
    """Print a line; where its reader has left, as `head` does, go on without one."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if err else sys.stdout).fileno())
        os.close(nowhere)


def printable(text: str) -> str:
    """Return text that stdout's encoding can carry: bars become # where it is not Unicode."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(str.maketrans("█▉▊▋▌▍▎▏▒░·…", "########=-.~"))
        return text.encode(encoding, "replace").decode(encoding)
    return text
