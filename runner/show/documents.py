"""A view for machines: JSON and CSV."""

import csv
import io
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from runner.show.view import Seen, View
from runner.text.words import year_month


def document_view(view: View, seen: Seen) -> dict[str, Any]:
    """Return a view as `--json` prints it; the owner's name only where asked for."""
    rows = {
        name: view.arrange([_with_owner_name(row.document(), seen) for row in rows])
        for name, rows in seen.rows.items()
    }
    unknown = seen.unknown_months if view.default_months else ()
    return {
        **rows,
        "last_day": seen.last_day,
        "deals_through": seen.deals_through,
        "unknown_months": list(map(year_month, unknown)),
        "warning": seen.warning,
        "reason": seen.reason,
    }


def csv_view(view: View, seen: Seen, *, raw: bool = False) -> str:
    """Return a view's first model as CSV, with the columns of the model.

    A text that a spreadsheet would compute gets an apostrophe before it, unless `raw`.
    """
    name, row = next(iter(view.models.items()))
    columns = [field.name for field in fields(row)]
    if seen.names:
        columns.append("owner_name")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for line in seen.rows[name]:
        found = _with_owner_name(vars(line), seen)
        cells = [found[column] for column in columns]
        writer.writerow(cells if raw else map(_without_formula, cells))
    return text.getvalue().rstrip("\n")


def _without_formula(cell: object) -> object:
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    return f"'{cell}" if is_formula else cell


def _with_owner_name(document: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    found = dict(document)
    if seen.names:
        found["owner_name"] = seen.names.get(found["owner_id"])
    return found
