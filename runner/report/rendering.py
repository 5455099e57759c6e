"""The templates of the report. What stands in a template is written literally, never as markup."""

import functools
from importlib.resources import files
from typing import TYPE_CHECKING

from runner.report import names
from runner.text import words

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: object) -> str:
    """Return a template of runner/report/templates, filled in."""
    return _load().get_template(template).render(names=names, words=words, **values)


def read_part(name: str) -> str:
    """Return a style or a script as it is."""
    return (files("runner.report") / "templates" / name).read_text(encoding="utf-8")


@functools.cache
def _load() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("runner.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
