"""What a view says in the same words as the report."""

from collections.abc import Sequence
from datetime import date

from runner.show.rows import StepForecast
from runner.text.words import count, long_date, money, plural, rounded


def deals_behind(known_through: date | None, last_day: date | None) -> str | None:
    """Return that deals are known of fewer days than the steps of the funnel, if so."""
    if known_through is None or last_day is None or known_through >= last_day:
        return None
    return (
        f"Deals are known through {long_date(known_through)} only, the steps of the funnel "
        f"through {long_date(last_day)}. `funnel run --source-dt {last_day}` brings deals forward."
    )


def not_known_yet(month: date, known_through: date | None) -> str | None:
    """Return that a month comes after all that is known of deals, if so."""
    if known_through is None or month <= known_through:
        return None
    return f"Not known yet: deals are known through {long_date(known_through)}"


def expected_wins(rows: Sequence[StepForecast]) -> str:
    """Return how many of the open deals should be won, of those of which it can be said."""
    open_deals = sum(row.open_deals_count for row in rows)
    known = [
        (row.open_deals_count, row.expected_wins) for row in rows if row.expected_wins is not None
    ]
    judged = sum(deals for deals, _ in known)
    if not open_deals:
        return "No open deal to forecast"
    if not judged:
        return f"How many of {plural(open_deals, 'open deal')} should be won is not known"
    of = plural(judged, "open deal")
    rest = f"; for {count(open_deals - judged)} more it is not known" if judged < open_deals else ""
    return f"About {rounded(sum(wins for _, wins in known))} of {of} should be won{rest}"


def value_of_step(row: StepForecast, value: float | None) -> str:
    """Return a value of a step's open deals in their currency; if they have several, that word."""
    return "several" if row.currencies_count > 1 else money(value, row.currency)


def several_currencies(rows: Sequence[StepForecast]) -> str | None:
    """Return why values are missing, if that is because of their currencies."""
    is_said = any(row.currencies_count > 1 for row in rows)
    return "Values in several currencies are not added up." if is_said else None
