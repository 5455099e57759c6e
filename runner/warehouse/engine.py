"""The seam between funnel and a database: what one engine says differently from the next.

Statements are composed with `psycopg2.sql`, of which an engine makes its own text. What every
engine has is written once, by whoever asks for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from psycopg2 import sql

from runner.project import Project

Statement = str | sql.Composable
Values = Sequence[object] | Mapping[str, object]


class Engine(ABC):
    """A connection to a warehouse, for everything that is not dbt."""

    errors: tuple[type[Exception], ...]
    """What the database raises."""

    @abstractmethod
    def query(self, statement: Statement, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none of a statement that has none."""

    @abstractmethod
    def snapshot(self, timezone: str = "UTC") -> AbstractContextManager[None]:
        """Let a block read one moment, and compare times without a zone in the zone given."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[object]:
        """Let a block write all or nothing, where the engine can."""

    @abstractmethod
    def scratch(self) -> AbstractContextManager[Callable[[str, str], object]]:
        """Yield what keeps the rows of a query under a name, until the block ends."""

    @abstractmethod
    def beside(self, project: Project) -> "AbstractContextManager[Engine]":
        """Yield what another thread may ask: a second connection, where there can be one."""

    @abstractmethod
    def only_writer(
        self, project: Project, purpose: str, *, wait: float = 0, steal: bool = False
    ) -> AbstractContextManager[None]:
        """Be the only writer of the target's schemas while a block runs.

        Args:
            project: Says which schemas.
            purpose: What the run is, for whoever meets the lock.
            wait: Seconds to wait for another writer.
            steal: Whether to take the lock from a writer that is gone.

        Raises:
            FunnelError: Another writer holds the lock, exit code 3; or this one may not write.
        """

    @abstractmethod
    def describe_writer(self, project: Project) -> str:
        """Return who writes and since when, or an empty text."""

    @abstractmethod
    def create_ledger(self, schema: str) -> None:
        """Create what is not there yet of `pipedrive_meta`, as dbt's own runs do.

        Raises:
            FunnelError: This role may not.
        """

    @abstractmethod
    def create_schema(self, schema: str) -> None:
        """Create a schema that does not exist yet.

        Raises:
            FunnelError: This role may not.
        """

    @abstractmethod
    def drop(self, schema: str, tables: Collection[str]) -> None:
        """Drop those of these tables and views that are there."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the present moment by the database's clock."""

    @abstractmethod
    def find_sizes(self, schema: str, tables: Collection[str]) -> dict[str, int]:
        """Return the tables that are there, with the rows they have by the statistics.

        -1 where nothing is known, 0 of a view.
        """

    @abstractmethod
    def may_read(self, schema: str, table: str) -> bool:
        """Return whether there is such a table, and this role may read it."""

    @abstractmethod
    def find_columns(
        self, schema: str, tables: Collection[str]
    ) -> dict[str, dict[str, str]] | None:
        """Return the type of each column of the tables that are there, by Postgres's names.

        None where there is no such schema.
        """

    @abstractmethod
    def find_types(self, query: sql.Composable) -> list[tuple[str, bool]]:
        """Return the columns of a query, each with whether its type can hold no text."""

    @abstractmethod
    def estimate_rows(self, schema: str, table: str, condition: sql.Composable) -> int | None:
        """Return about how many rows meet a condition, without reading any; None if unknown."""

    @abstractmethod
    def knows_timezone(self, name: str) -> bool:
        """Return whether this is the name of a time zone."""

    @abstractmethod
    def local_time(self, moment: sql.Composable, zone: str) -> sql.Composable:
        """Return a time in UTC as the clocks of a zone show it."""

    @abstractmethod
    def as_number(self, moment: sql.Composable) -> sql.Composable:
        """Return a moment as a number that can be summed up."""

    @abstractmethod
    def masked(self, value: sql.Composable, pattern: str, mask: str) -> sql.Composable:
        """Return a value as text, with a mask in place of all that matches a pattern."""

    @abstractmethod
    def as_json(self, table: str) -> sql.Composable:
        """Return a row of a table of the query as JSON."""

    @abstractmethod
    def limit_patience(self, seconds: int) -> None:
        """Wait no longer than this for a table that somebody has locked."""

    @abstractmethod
    def hasten(self) -> None:
        """Set what makes the long queries of a report quicker."""

    @abstractmethod
    def reading(self, schema: str, table: str) -> AbstractContextManager[None]:
        """Turn what the database refuses about a table into an error a person can act on."""

    @abstractmethod
    def table_exists(self, schema: str, table: str) -> bool:
        """Return whether there is a table or view of this name.

        Raises:
            FunnelError: This role may not look into the schema.
        """
