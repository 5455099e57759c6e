"""The rules for dbt vars, read from the same table as the macros: macros/vars/var_rules.sql."""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import FunnelError

TABLE = Path(__file__).resolve().parents[2] / "macros" / "vars" / "var_rules.sql"


@dataclass(frozen=True)
class VarRule:
    """What a var must be; limits are inclusive.

    Args:
        type: The name of its type in the table.
        description: What it must be, in words.
        pattern: A regular expression that the whole text of a single value must match.
        at_least: The smallest value, where there is one: a number, or a text that sorts like it.
        at_most: The largest value.
        is_list: Whether it is a list of such values.
    """

    type: str
    description: str
    pattern: str | None = None
    at_least: Any = None
    at_most: Any = None
    is_list: bool = False


@functools.cache
def read_table() -> dict[str, dict[str, Any]]:
    """Return the table as it is written: types, vars, and variables of the environment."""
    text = TABLE.read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = json.loads(
        text[text.index("return(") + len("return(") : text.rindex(")")]
    )
    return table


def find_rule(name: str) -> VarRule:
    """Return the rule for a var, or a variable of the environment; a KeyError means none."""
    table = read_table()
    own = {**table["vars"], **table["environment"]}[name]
    rule = {**table["types"][own["type"]], **own}
    limits = (rule.get("at_least"), rule.get("at_most"))
    is_list = rule.get("is_list", False)
    return VarRule(rule["type"], rule["is"], rule.get("pattern"), *limits, is_list=is_list)


def parse_var(name: str, value: object) -> Any:  # noqa: ANN401 - an int, float or text, or a list
    """Return a value as dbt would read it: an int, a float or a text, or a list of them.

    Raises:
        FunnelError: The macros would refuse it.
    """
    if not find_rule(name).is_list:
        return _parse_value(name, value)
    if not isinstance(value, (list, tuple)):
        raise refuse_var(name, value)
    return [_parse_value(name, item) for item in value]


def _parse_value(name: str, value: object) -> Any:  # noqa: ANN401 - as above
    rule = find_rule(name)
    text = str(value)
    if value is None or rule.pattern is None or not re.fullmatch(rule.pattern, text):
        raise refuse_var(name, value)
    read = {"integer": int, "number": float}.get(rule.type, str)
    parsed = read(text)
    if rule.at_most is not None and not rule.at_least <= parsed <= rule.at_most:
        raise refuse_var(name, value)
    return parsed


def refuse_var(name: str, value: object) -> FunnelError:
    """Return the error for a value that a var must not have, worded as the macros word it."""
    rule = find_rule(name)
    is_var = name in read_table()["vars"]
    limits = "" if rule.at_most is None else f" from {rule.at_least} to {rule.at_most}"
    return FunnelError(
        f"{'var ' if is_var else ''}{name} must be {rule.description}{limits}: "
        f"{json.dumps(str(value))}",
        hint="Change it in dbt_project.yml or in --vars." if is_var else f"Change or unset {name}.",
    )
