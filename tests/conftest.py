"""Homes that tests share: one in which the demo has run, one that is emptied."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from unittest.mock import patch

import pytest
from homes import Funnel, build_once, clear, parse_once, running_home

from macros import Macros, running_macros
from runner.raw.demo_data import write_demo
from runner.transform.dbt_runner import Dbt


def pytest_configure(config: pytest.Config) -> None:
    """Read nobody's .env; let Ctrl-C reach what tests start, also where a shell uses `&`."""
    os.environ["FUNNEL_ENV_FILE"] = ""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Before the workers start, so that they agree on it around midnight as well.
    os.environ.setdefault("FUNNEL_DAY", str(date.today().toordinal()))  # noqa: DTZ011 - any zone
    if "PARSED_PROJECTS" not in os.environ:
        folder = tempfile.mkdtemp(prefix="funnel-parsed-")
        os.environ["PARSED_PROJECTS"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With FUNNEL_SHARE=40, keep a fortieth of the tests marked `long`; another one each day."""
    share = int(os.environ.get("FUNNEL_SHARE", "1"))
    long = [
        item
        for item in items
        if item.get_closest_marker("long") and not item.get_closest_marker("every_day")
    ]
    left_out = set(long) - set(long[int(os.environ["FUNNEL_DAY"]) % share :: share])
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """Have all tests of a run share what they parse."""
    with patch.object(Dbt, "_parse", parse_once):
        yield


@pytest.fixture(scope="session")
def demo() -> Iterator[Funnel]:
    """A home in which `funnel demo` has run, and what that printed. Tests only read it."""
    with running_home() as funnel:
        (funnel.home / "printed.txt").write_text(funnel.done("demo").stdout)
        yield funnel


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's CSV files."""
    folder = tmp_path_factory.mktemp("export")
    write_demo(folder)
    return folder


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Funnel]:
    """A home for one test after the other, because dbt parses the project once for each home."""
    with running_home() as funnel:
        yield funnel


@pytest.fixture
def empty(shared_home: Funnel) -> Funnel:
    """A home whose server holds nothing."""
    clear(shared_home)
    return shared_home


@pytest.fixture
def loaded(shared_home: Funnel, export: Path) -> Funnel:
    """A home in which only the demo's raw tables are."""
    return build_once(shared_home, "loaded", lambda home: home.done("load", str(export)))


@pytest.fixture(scope="module")
def macros() -> Iterator[Macros]:
    """A server on which dbt evaluates the project's macros."""
    with running_macros() as running:
        yield running
