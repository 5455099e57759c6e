"""Homes that tests share: one in which the demo has run, one that is emptied."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import Funnel, clear, running_home

from macros import Macros, running_macros
from runner.raw.demo_data import write_demo


def pytest_configure() -> None:
    """Read nobody's .env; let Ctrl-C reach what tests start, also where a shell uses `&`."""
    os.environ["FUNNEL_ENV_FILE"] = ""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def demo() -> Iterator[Funnel]:
    """A home in which `funnel demo` has run. Tests only read it."""
    with running_home() as funnel:
        funnel.done("demo")
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
def loaded(empty: Funnel, export: Path) -> Funnel:
    """A home in which only the demo's raw tables are."""
    empty.done("load", str(export))
    return empty


@pytest.fixture(scope="module")
def macros() -> Iterator[Macros]:
    """A server on which dbt evaluates the project's macros."""
    with running_macros() as running:
        yield running
