"""Names as the report writes them. What people typed into the CRM is not trusted."""

import re

SHORT = 30
BLANK = "(no name)"

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ISOLATE, _POP = "\u2068", "\u2069"


def isolate(text: str) -> str:
    """Return a text whose writing direction does not spread to what stands around it."""
    return f"{_ISOLATE}{text}{_POP}"


def name_of(text: str) -> str:
    """Return a name as it can be shown: no control characters, none that turn a text around.

    Of a blank name it says so, as nobody would see or hear it.
    """
    return _CONTROL.sub(" ", text).strip() or BLANK


def shorten(text: str, length: int = SHORT) -> str:
    """Return a name, cut to a length, on one line."""
    text = " ".join(name_of(text).split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def breakable(text: str) -> str:
    """Return a text that may break after a slash, where names of steps like to have one."""
    return text.replace("/", "/\u200b")


def in_sentence(name: str) -> str:
    """Return a name as it stands within a sentence."""
    return isolate(shorten(name))


def numbered(step: str | None, name: str) -> str:
    """Return a step's name behind its number, if it has one."""
    return f"{step or ''} {name_of(name)}".strip()
