"""The only module that imports dbt: arguments in, results or a FunnelError out.

dbt costs a second or two to import, so it is imported when it is first needed. The project is
parsed without the window's vars, so that a new reference date finds it parsed already, by this
process or an earlier one; the vars reach every later command, which is given the parsed manifest.
"""

import gc
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from runner.console import Progress
from runner.errors import FunnelError
from runner.masking import mask_emails
from runner.project import Project
from runner.settings.environment import environment
from runner.transform.manifest_cache import (
    hash_project,
    is_of_this_checkout,
    keep_manifest,
    read_manifest,
)
from runner.transform.packages import install_packages
from runner.transform.results import NodeResult

if TYPE_CHECKING:
    from dbt.artifacts.schemas.run import RunExecutionResult
    from dbt.cli.main import dbtRunner, dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest


@dataclass(frozen=True)
class Dbt:
    """dbt for one project, with the vars of one command."""

    project: Project
    vars: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, project: Project, dbt_vars: Mapping[str, Any] | None = None) -> "Dbt":
        """Return dbt for a project, whose packages are installed where they are missing.

        Raises:
            FunnelError: The packages cannot be installed.
        """
        install_packages(project)
        return cls(project, dbt_vars or {})

    def with_vars(self, dbt_vars: Mapping[str, Any]) -> "Dbt":
        """Return dbt with other vars and the same parsed project."""
        other = replace(self, vars=dbt_vars)
        other.__dict__["manifest"] = self.manifest
        return other

    def build(
        self,
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
        *,
        with_tests: bool = True,
        progress: Progress | None = None,
    ) -> tuple[NodeResult, ...]:
        """Build seeds and models, and test them in order of dependency.

        Raises:
            FunnelError: dbt could not run, or `select` names nothing.
        """
        left_out = ["unit_test", "exposure"] if with_tests else ["unit_test", "exposure", "test"]
        return self._run("build", select, left_out, progress, exclude)

    def test(
        self, select: Sequence[str] = (), progress: Progress | None = None
    ) -> tuple[NodeResult, ...]:
        """Run the data tests.

        Raises:
            FunnelError: dbt could not run, or `select` names nothing.
        """
        return self._run("test", select, ["unit_test"], progress)

    def compile(self, names: Sequence[str]) -> dict[str, str]:
        """Return the queries of models, by name, as a run with these vars would send them.

        Raises:
            FunnelError: dbt could not run.
        """
        # Without the tests of these models, which dbt selects with them.
        arguments = ["compile", "--indirect-selection", "empty", "--select", *names]
        outcome = cast("RunExecutionResult", self._invoke(arguments))
        compiled: list[Any] = [result.node for result in outcome.results]
        return {node.name: node.compiled_code for node in compiled}

    def freshness(self, progress: Progress | None = None) -> tuple[NodeResult, ...]:
        """Ask each source when it was last loaded.

        Raises:
            FunnelError: dbt could not run.
        """
        return self._results(["source", "freshness"], progress)

    def generate_docs(self, progress: Progress | None = None, *, static: bool = False) -> None:
        """Write the documentation site to dbt's target folder.

        Unit tests and tests that are a query of their own are left out: the site would draw each of
        them into the lineage.

        Raises:
            FunnelError: dbt could not run.
        """
        from dbt.contracts.graph.nodes import SingularTestNode

        nodes: dict[str, Any] = {
            name: node
            for name, node in self.manifest.nodes.items()
            if not isinstance(node, SingularTestNode)
        }
        documented = replace(self)
        documented.__dict__["manifest"] = replace(
            self.manifest, nodes=nodes, unit_tests={}, disabled={}
        )
        documented._invoke(["docs", "generate", *(["--static"] if static else [])], progress)

    def serve_docs(self, port: int, *, browser: bool) -> None:
        """Serve the documentation site until interrupted; `port` is on this machine only."""
        flag = "--browser" if browser else "--no-browser"
        self._invoke(["docs", "serve", "--host", "127.0.0.1", "--port", str(port), flag])

    @cached_property
    def manifest(self) -> "Manifest":
        """The parsed project."""
        # The profile reads it, so it is part of what was parsed.
        os.environ["PWD"] = str(self.project.root)
        project_hash = hash_project(self.project)
        with _growing_heap():
            kept = read_manifest(self.project, project_hash)
            return (kept and _restore(kept)) or self._parse(project_hash)

    def _parse(self, project_hash: str) -> "Manifest":
        from dbt.cli.main import dbtRunner
        from dbt.parser.manifest import extended_mashumaro_encoder

        # What dbt remembers of one checkout's files it mistakes for another one's.
        afresh = [] if is_of_this_checkout(self.project) else ["--no-partial-parse"]
        arguments = dbt_arguments(self.project, ["parse", *afresh], self.project.overrides)
        manifest = cast("Manifest", _call(dbtRunner(), arguments))
        encoded = manifest.to_msgpack(extended_mashumaro_encoder)
        keep_manifest(self.project, project_hash, encoded)
        return manifest

    def _run(
        self,
        command: str,
        select: Sequence[str],
        exclude_types: Sequence[str],
        progress: Progress | None,
        exclude: Sequence[str] = (),
    ) -> tuple[NodeResult, ...]:
        arguments = [command]
        for resource_type in exclude_types:
            arguments += ["--exclude-resource-type", resource_type]
        if select:
            arguments += ["--select", *select]
        if exclude:
            arguments += ["--exclude", *exclude]
        results = self._results(arguments, progress)
        if not results:
            raise FunnelError(
                f"nothing matches --select {' '.join(select)}",
                hint="Name models as in models/, for example --select monthly_stats+",
            )
        return tuple(result for result in results if result.kind != "operation" or result.is_bad)

    def _results(
        self, arguments: Sequence[str], progress: Progress | None = None
    ) -> tuple[NodeResult, ...]:
        execution = cast("RunExecutionResult", self._invoke(arguments, progress))
        return tuple(_node_result(result, self.manifest) for result in execution.results)

    def _invoke(self, arguments: Sequence[str], progress: Progress | None = None) -> object:
        from dbt.cli.main import dbtRunner

        dbt_vars = {**self.project.overrides, **self.vars}
        callbacks = [_progress_callback(progress)] if progress else []
        runner = dbtRunner(manifest=self.manifest, callbacks=callbacks)
        return _call(runner, dbt_arguments(self.project, arguments, dbt_vars))


def _restore(kept: bytes) -> "Manifest | None":
    """Return a manifest as dbt's own parser restores it, or None where the bytes are none."""
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    try:
        manifest = Manifest.from_msgpack(kept, decoder=extended_mashumuro_decoder)
    except Exception:  # noqa: BLE001 - whatever is wrong with the bytes, the project is parsed again
        return None
    manifest.build_parent_and_child_maps()  # type: ignore[no-untyped-call]
    manifest.build_flat_graph()  # type: ignore[no-untyped-call]
    return manifest


@contextmanager
def _growing_heap() -> Iterator[None]:
    """Keep Python from searching dbt's classes and manifest for garbage while they are made.

    They stay until the process ends. To search them again and again is a quarter of the time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def _forget_repeated_flags() -> None:
    """Keep a backfill of many batches as quick as its first one.

    Each command of dbt adds its adapter's flags to this list once more, and walks the call stack
    for each flag in it: after a hundred commands, a quarter of a second.
    """
    from dbt.adapters.base import impl

    flags = getattr(impl, "DEFAULT_BASE_BEHAVIOR_FLAGS", [])  # no promise of dbt's
    flags[:] = {flag["name"]: flag for flag in flags}.values()


def dbt_arguments(
    project: Project, command: Sequence[str], dbt_vars: Mapping[str, Any]
) -> list[str]:
    """Return the arguments of a dbt command, as after the word `dbt` on a command line."""
    return [
        *command,
        *("--project-dir", str(project.root)),
        *("--profiles-dir", str(project.root)),
        *("--target", project.target),
        *("--target-path", str(project.home / "target")),
        *("--log-path", str(project.home / "logs")),
        *("--log-level", "none"),
        # The log and the JSON artefacts cost a second a command.
        *("--log-level-file", "debug" if project.debug else "none"),
        *([] if command[0] == "docs" else ["--no-write-json"]),
        *("--vars", json.dumps(dbt_vars, default=str, sort_keys=True)),
    ]


def _call(runner: "dbtRunner", arguments: list[str]) -> object:
    _forget_repeated_flags()
    # Each of dbt's variables is a flag: one of them switches off every test. DBT_ENV_… are no flags
    # but values for profiles, so they stay.
    with environment("DBT_(?!ENV_)"):
        return _checked(runner.invoke(arguments))


def _checked(outcome: "dbtRunnerResult") -> object:
    if isinstance(outcome.exception, KeyboardInterrupt):
        raise outcome.exception
    if outcome.exception is not None:
        raise FunnelError(f"dbt could not run: {one_line(str(outcome.exception))}") from (
            outcome.exception
        )
    return outcome.result


def one_line(message: str) -> str:
    """Return what a dbt message says: no headings, call stack, file names, SQL or addresses."""
    # What Postgres was doing comes last, and quotes whole statements.
    said_by_server = re.split(r"\n\s*(?:CONTEXT|QUERY):", message)[0]
    lines = [line.strip() for line in said_by_server.splitlines()]
    said = [
        line
        for line in lines
        if line
        and not line.startswith((">", "compiled code at", "LINE ", "^"))
        and not re.match(r"^(Compilation|Database|Runtime|Parsing|Validation|Env var) Error", line)
    ]
    return mask_emails(" ".join(said) or " ".join(lines))


def _progress_callback(progress: Progress) -> Callable[[Any], None]:
    counts = {"finished": 0, "total": 0}

    def on_event(event: Any) -> None:  # noqa: ANN401 - dbt's events are protobuf messages
        if event.info.name == "ConcurrencyLine":
            counts["total"] = event.data.node_count
        elif event.info.name == "NodeFinished":
            counts["finished"] += 1
            progress(counts["finished"], counts["total"])

    return on_event


def _node_result(result: Any, manifest: "Manifest") -> NodeResult:  # noqa: ANN401 - several classes
    node = result.node
    kind = str(node.resource_type)
    # To dbt a stale source is an error; here an error is what could not be found out.
    statuses = {"success": "pass", "no-op": "pass", "runtime error": "error"}
    if kind == "source":
        statuses["error"] = "fail"
    status = str(result.status)
    max_loaded_at = getattr(result, "max_loaded_at", None)
    return NodeResult(
        name=node.name,
        kind=kind,
        status=statuses.get(status, status),
        seconds=result.execution_time or 0.0,
        failures=getattr(result, "failures", None),
        message=one_line(str(result.message or getattr(result, "error", None) or "")),
        description=describe(node),
        # dbt says year 1 where a table is empty.
        max_loaded_at=max_loaded_at if max_loaded_at and max_loaded_at.year > 1 else None,
        **(_about_test(node, manifest) if kind == "test" else {}),
    )


def _about_test(node: Any, manifest: "Manifest") -> dict[str, Any]:  # noqa: ANN401 - two classes
    return {
        "model": _tested_model(node, manifest),
        "severity": str(node.config.severity).lower(),
        "query": node.compiled_code or "",
        "table": node.alias,
    }


def _tested_model(node: Any, manifest: "Manifest") -> str:  # noqa: ANN401 - two classes of dbt
    """Return what a test is about: of all that it reads, what is made of the rest."""
    attached_to: str | None = getattr(node, "attached_node", None)
    read: list[str] = [attached_to] if attached_to else list(dict.fromkeys(node.depends_on_nodes))
    above = {parent for each in read for parent in _ancestors(each, manifest)}
    return ", ".join(each.split(".", 2)[2] for each in read if each not in above)


def _ancestors(unique_id: str, manifest: "Manifest") -> set[str]:
    node = manifest.nodes.get(unique_id)
    parents = set(node.depends_on_nodes) if node else set()
    return parents.union(*(_ancestors(parent, manifest) for parent in parents))


def describe(node: Any) -> str:  # noqa: ANN401 - several classes of dbt
    """Return a node's description; a singular test's is the comment it begins with."""
    text = getattr(node, "description", "")
    if not text and str(node.resource_type) == "test":
        comment = re.match(r"(--[^\n]*\n)*", node.raw_code)
        text = re.sub(r"(?m)^--", "", comment[0]) if comment else ""
    return " ".join(text.split())
