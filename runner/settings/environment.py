"""Variables that libpq and dbt read behind our back, hidden for a while."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment(hidden: str, **given: str) -> Iterator[None]:
    """Hide variables while the block runs, from this process and those it starts; set others.

    Args:
        hidden: A regular expression for the beginnings of their names.
        given: Variables to set instead, by name.
    """
    before = {
        name: value for name, value in os.environ.items() if re.match(hidden, name) or name in given
    }
    for name in before:
        del os.environ[name]
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)
        os.environ.update(before)
