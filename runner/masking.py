"""Personal data, which no message, report or stored row may hold."""

import re

MASK = "***"
_IN_ADDRESS = r"""[^\s@,;:"'<>(){}\[\]]"""
EMAIL = rf"{_IN_ADDRESS}*@{_IN_ADDRESS}+"
"""What looks like an e-mail address, to Python as to Postgres."""

_PERSONAL_COLUMN = re.compile(r"(.+_)?e_?mail|((user|owner|first|last|full)_?)?name")


def mask_emails(text: str) -> str:
    """Return a text with what looks like an e-mail address masked."""
    # From where an address can begin, else a long text without one takes for ever.
    return re.sub(f"(?<!{_IN_ADDRESS}){EMAIL}", MASK, text)


def is_personal(column: str) -> bool:
    """Return whether a column of any table may hold names or e-mail addresses of people."""
    return _PERSONAL_COLUMN.fullmatch(column.lower()) is not None
