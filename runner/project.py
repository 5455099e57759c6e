"""Where things are: the project's root, its home for state, and its settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.errors import FunnelError
from runner.settings.declared_vars import read_declared_vars
from runner.settings.var_rules import parse_var

SPARK_TARGETS = ("spark", "spark_cluster")
PRODUCTION_TARGETS = ("local", "prod", *SPARK_TARGETS)
TARGETS = ("local", "dev", "prod", *SPARK_TARGETS)
STAGING, ANALYTICS, REPORTING = "pipedrive_staging", "pipedrive_analytics", "pipedrive_reporting"
META, AUDIT = "pipedrive_meta", "pipedrive_audit"
LANDING = "pipedrive_landing"
BUILT_SCHEMAS = (STAGING, ANALYTICS, REPORTING, META, AUDIT)


@dataclass(frozen=True)
class Project:
    """One dbt project as one command sees it.

    Args:
        root: The folder that holds dbt_project.yml.
        home: Where the embedded database, dbt's artefacts and its log live (`FUNNEL_HOME`).
        target: The target of profiles.yml, one of TARGETS.
        overrides: dbt vars given on the command line; they win over dbt_project.yml.
        debug: Whether dbt writes its log.
    """

    root: Path
    home: Path
    target: str = "local"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    debug: bool = False

    @classmethod
    def find(
        cls,
        target: str = "local",
        overrides: Mapping[str, Any] | None = None,
        *,
        debug: bool = False,
    ) -> "Project":
        """Find the project, and its home.

        Raises:
            FunnelError: As `find_root`.
        """
        root = find_root()
        home = Path(os.environ.get("FUNNEL_HOME") or root / ".funnel").expanduser().resolve()
        return cls(root, home, target, dict(overrides or {}), debug)

    def var(self, name: str) -> Any:  # noqa: ANN401 - a dbt var can be of any type
        """Return a dbt var as dbt will see it: command line first, then dbt_project.yml.

        Raises:
            FunnelError: It breaks the rule for this var.
        """
        declared = read_declared_vars(self.root)
        return parse_var(name, self.overrides.get(name, declared.get(name)))

    @property
    def raw_schema(self) -> str:
        """The schema of the raw tables."""
        return str(self.var("raw_schema"))

    @property
    def loaded_at_field(self) -> str:
        """The column of a raw table that says when a row was loaded."""
        return str(self.var("loaded_at_field"))

    @property
    def loaded_at_timezone(self) -> str | None:
        """The zone of load times that have none; None where they all have one."""
        return self._optional_var("loaded_at_timezone")

    @property
    def pipedrive_url(self) -> str | None:
        """The address of the account; None where it is not set."""
        return self._optional_var("pipedrive_url")

    def _optional_var(self, name: str) -> str | None:
        value = self.overrides.get(name, read_declared_vars(self.root)[name])
        return None if value is None else str(parse_var(name, value))

    def schema(self, custom_schema: str) -> str:
        """Return the schema that macros/overrides/get_custom_schema.sql gives on this target.

        Raises:
            FunnelError: FUNNEL_DEV_SCHEMA could name a schema of production.
        """
        if self.target in PRODUCTION_TARGETS:
            return custom_schema
        own = parse_var("FUNNEL_DEV_SCHEMA", os.environ.get("FUNNEL_DEV_SCHEMA", "test"))
        return f"{own}_{custom_schema}"

    def check_may_load(self) -> None:
        """Hold the raw schema against what this target may write: on dev, only what is dev's own.

        Raises:
            FunnelError: It is another's, or a schema that is built.
        """
        own = self.schema(read_declared_vars(self.root)["raw_schema"])
        is_another = self.target not in PRODUCTION_TARGETS and self.raw_schema != own
        if is_another or self.raw_schema in map(self.schema, (*BUILT_SCHEMAS, LANDING)):
            raise FunnelError(
                f"target {self.target} does not load into {self.raw_schema}",
                hint=f"Load into its own: --vars '{{raw_schema: {own}}}'",
            )


def is_on_spark(project: Project) -> bool:
    """Return whether the project's target is on Spark."""
    return project.target in SPARK_TARGETS


def find_root() -> Path:
    """Find the project from the working directory upwards, else where funnel is installed.

    Raises:
        FunnelError: There is no dbt_project.yml of funnel in either place.
    """
    try:
        here = Path.cwd()
    except OSError as error:
        raise FunnelError("the working folder is gone", hint="Change into another one.") from error
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if _is_project(folder):
            return folder
    raise FunnelError(
        f"no funnel project in {here} or any folder above it",
        hint="Change into the folder that holds dbt_project.yml.",
    )


def _is_project(folder: Path) -> bool:
    file = folder / "dbt_project.yml"
    return file.is_file() and file.read_text(encoding="utf-8").startswith("name: funnel\n")
