"""Words and numbers as the report writes them. What people typed into the CRM is not trusted."""

import re
from datetime import date

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


def for_chart(text: str, length: int = SHORT) -> str:
    """Return a text as Plotly shows it literally: Plotly reads some HTML in every label."""
    text = isolate(shorten(text, length))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def count(number: int | None) -> str:
    """Return a whole number, or a dash where there is none."""
    return "–" if number is None else f"{number:,}"


def plural(number: int, singular: str) -> str:
    """Return a number of things: '1 deal', '2 deals'."""
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def percent(rate: float | None) -> str:
    """Return a rate of 0 to 1 in per cent, or a dash."""
    return "–" if rate is None else f"{rate:.0%}"


def days(number: float | None) -> str:
    """Return days with one decimal place, or a dash."""
    return "–" if number is None else f"{number:,.1f}"


def amount(value: float | None) -> str:
    """Return a sum of money without a currency, as none is recorded, or a dash."""
    return "–" if value is None else f"{value:,.0f}"


def month_name(month: date) -> str:
    """Return 'December 2024'."""
    return f"{month:%B %Y}"


def short_month(month: date) -> str:
    """Return 'Dec 2024'."""
    return f"{month:%b %Y}"


def share(part: float | None, whole: float | None) -> float | None:
    """Return part / whole, or nothing where there is nothing to divide by."""
    return part / whole if part is not None and whole else None


def day(moment: date) -> str:
    """Return '31 December 2024'."""
    return f"{moment.day} {moment:%B %Y}"


def signed(number: float, unit: str) -> str:
    """Return a difference: '+1 point', '−2.5 days', '±0 days'."""
    rounded = round(number, 1)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else "±"
    size = f"{abs(rounded):.1f}".removesuffix(".0")
    return f"{sign}{size} {unit}{'' if size == '1' else 's'}"


def signed_percent(rate: float) -> str:
    """Return a change in per cent: '+12%'."""
    rounded = round(rate * 100)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else '±'}{abs(rounded)}%"
