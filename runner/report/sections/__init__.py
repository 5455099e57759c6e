"""The sections of the report, a module each: what it found, its charts, and the numbers behind."""

from runner.report.data import ReportData
from runner.report.section import Section
from runner.report.sections import (
    conversion,
    forecast,
    funnel,
    losses,
    owners,
    rates,
    stalled,
    trend,
    velocity,
)

READING_ORDER = (funnel, conversion, trend, rates, velocity, losses, owners, stalled, forecast)

OF_ONE_PIPELINE = (funnel, stalled, trend)
"""What the tables hold by pipeline."""


def make_sections(data: ReportData) -> list[Section]:
    """Return the sections of a report, in reading order."""
    order = OF_ONE_PIPELINE if data.pipeline else READING_ORDER
    return [section.make(data) for section in order]
