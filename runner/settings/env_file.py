"""The file `.env` beside dbt_project.yml: variables that the environment does not have itself."""

import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from runner.errors import FunnelError

VARIABLE = "FUNNEL_ENV_FILE"
"""Names another file; empty, none is read."""

_OURS = re.compile("(FUNNEL|PG|PIPEDRIVE)[A-Z_]*")
_TOKENS = ("PIPEDRIVE_API_TOKEN", "PIPEDRIVE_ACCESS_TOKEN")


def find_env_file(root: Path) -> Path | None:
    """Return the file to read and write, if any."""
    given = os.environ.get(VARIABLE)
    return (Path(given).expanduser() if given else None) if given is not None else root / ".env"


def load_env_file(path: Path | None) -> None:
    """Set the variables of funnel that the file has, and the environment does not.

    Raises:
        FunnelError: The file cannot be read, others may read it, or a line is none of a variable.
    """
    if path is None or not path.is_file():
        return
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise FunnelError(f"others may read {path}", hint=f"Type: chmod 600 {path}")
    has_token = any(name in os.environ for name in _TOKENS)
    for name, value in _read(path).items():
        if _OURS.fullmatch(name) and not (has_token and name in _TOKENS):
            os.environ.setdefault(name, value)


def write_env_file(path: Path, variables: Mapping[str, str]) -> None:
    """Set variables in the file, for its owner's eyes only, and keep its other lines.

    Raises:
        FunnelError: The file cannot be written.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    replaced = {*variables, *(_TOKENS if variables.keys() & {*_TOKENS} else ())}
    kept = [line for line in lines if line.partition("=")[0].strip() not in replaced]
    new = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join([*kept, *new]) + "\n")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise FunnelError(f"cannot write {path}: {error.strerror}") from error


def _read(path: Path) -> dict[str, str]:
    """Return what a shell would make of lines NAME=VALUE."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FunnelError(f"cannot read {path}", hint="`funnel init` writes it.") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        try:
            words = shlex.split(line.removeprefix("export "), comments=True)
        except ValueError:
            words = ["", ""]
        if words:
            name, equals, value = words[0].partition("=")
            if len(words) > 1 or not equals:
                raise FunnelError(
                    f"line {number} of {path} is not NAME=VALUE", hint="Quote values with blanks."
                )
            found[name] = value
    return found
