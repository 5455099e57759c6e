"""The vars that dbt_project.yml declares, for dbt and funnel."""

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.errors import FunnelError
from runner.settings.var_rules import parse_var


def read_declared_vars(root: Path) -> dict[str, Any]:
    """Return the vars of a project, read once unless its file changes."""
    file = root / "dbt_project.yml"
    return _read(file, file.stat().st_mtime_ns)


@functools.cache
def _read(file: Path, _: int) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(file.read_text(encoding="utf-8"))["vars"])


def replace_list(text: str, name: str, values: Sequence[str]) -> str:
    """Return the text of dbt_project.yml with another value of a var that is a list.

    Raises:
        FunnelError: The var cannot have the value, or does not stand as `name: [...]` in a line.
    """
    import yaml

    written = json.dumps(parse_var(name, values), ensure_ascii=False)
    line = rf"""^( +{name}: *)\[(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^]"'])*\]"""
    replaced = re.sub(line, lambda found: found[1] + written, text, flags=re.MULTILINE)
    wanted = yaml.safe_load(text)
    wanted["vars"][name] = list(values)
    if yaml.safe_load(replaced) != wanted:
        raise FunnelError(
            f"cannot write the var {name}", hint=f"Set {name}: {written} in dbt_project.yml."
        )
    return replaced
