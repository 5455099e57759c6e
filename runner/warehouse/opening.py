"""The warehouse of a target, whichever engine it is on."""

from collections.abc import Iterator
from contextlib import contextmanager

from runner.project import Project, is_on_spark
from runner.warehouse.connection import open_postgres
from runner.warehouse.engine import Engine
from runner.warehouse.on_postgres import PostgresEngine


@contextmanager
def open_warehouse(project: Project) -> Iterator[Engine]:
    """Connect to the target's database; for `local`, have the embedded server run meanwhile.

    Raises:
        FunnelError: There is no connection, or it is lost, or a permission is missing.
    """
    if is_on_spark(project):
        from runner.warehouse.on_spark import open_spark

        with open_spark(project) as engine:
            yield engine
    else:
        with open_postgres(project) as connection:
            yield PostgresEngine(connection)
