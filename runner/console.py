"""What a person or a program reads: stdout is data, stderr is talk.

Names come from a CRM, where anybody can type anything: no character that a terminal obeys, or that
turns the text around it, is ever written as it is.
"""

import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TextIO

import click

from runner.errors import FunnelError

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""

_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
"""Control characters, marks of direction and halves of characters; not tab and line feed."""


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
            write_line(harmless(message), err=True)

    def warn(self, message: str) -> None:
        """Tell a person something that may need doing, on stderr."""
        if not self.quiet:
            write_line(click.style("Warning: ", fg="yellow") + harmless(message), err=True)

    def show(self, text: str, document: Mapping[str, Any], *, raw: bool = False) -> None:
        """Print the command's data on stdout: `document` as JSON if asked for, else `text`."""
        if self.as_json:
            _write_json(document)
        elif text:
            write_line(printable(text if raw else harmless(text)))

    def fail(self, error: FunnelError) -> None:
        """Print an error: one line on stderr, and an object on stdout if JSON was asked for."""
        if self.as_json:
            parts = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
            with suppress(FunnelError):  # nowhere to write to; stderr says it
                _write_json({"error": parts})
        sentence = f"{error.message}. {error.hint}".strip() if error.hint else error.message
        write_line(
            click.style("Error: ", fg="red") + harmless(" ".join(sentence.split())), err=True
        )

    def trace(self) -> None:
        """Print the traceback of the present exception, if asked for."""
        if self.debug:
            write_line(harmless(traceback.format_exc()), err=True)

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
    """Print a line; where its reader has left, as `head` does, go on without one.

    Raises:
        FunnelError: Stdout cannot be written, as on a full disk.
    """
    try:
        click.echo(text, err=err)
    except OSError as error:
        refused = give_up(sys.stderr if err else sys.stdout, error)
        if not err and not isinstance(error, BrokenPipeError):
            raise refused from error


def give_up(stream: TextIO, error: OSError) -> FunnelError:
    """Write no more to a stream that cannot be written, not even what is left; return the error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return FunnelError(f"cannot write to {stream.name.strip('<>')}: {error.strerror}")


def _write_json(document: Mapping[str, Any]) -> None:
    text = json.dumps(_for_json(document), indent=2, ensure_ascii=False)
    write_line(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def _for_json(value: Any) -> Any:  # noqa: ANN401 - whatever a command shows
    """Return a value as JSON has it: times in ISO 8601, null for an empty text."""
    if isinstance(value, Mapping):
        return {str(name): _for_json(found) for name, found in value.items()}
    if isinstance(value, list | tuple):
        return [_for_json(found) for found in value]
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value) or None


def harmless(text: str) -> str:
    """Return a text with a sign in place of each character that a terminal would obey."""
    return _OBEYED.sub("\ufffd", text)


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file or none: aside, then renamed.

    Raises:
        FunnelError: It cannot be written.
    """
    target = path.resolve()
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)  # a device or a pipe
            return
        try:
            aside.write_bytes(content)
            aside.replace(target)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FunnelError(f"cannot write {path}: {error.strerror}") from error


def printable(text: str) -> str:
    """Return text that stdout's encoding can carry: bars become # where it is not Unicode."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(str.maketrans("█▉▊▋▌▍▎▏▒░·…", "########=-.~"))
        return text.encode(encoding, "replace").decode(encoding)
    return text
