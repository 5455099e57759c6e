"""The parsed project on disk, kept for as long as nothing that it was parsed from changes.

dbt has a cache of its own, but asks what has changed by loading the project, its packages and every
file of theirs again, which takes half a second each time. Here one hash over the same things
decides: files, environment variables, vars, target and dbt's version.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from runner.project import Project

_FILES = ("dbt_project.yml", "profiles.yml", "packages.yml", "dependencies.yml")
_FOLDERS = ("models", "macros", "tests", "seeds", "snapshots", "analyses", "dbt_packages")
_SUFFIXES = {".sql", ".yml", ".yaml", ".md", ".csv", ".py"}
_ENVIRONMENT = re.compile(rb"env_var\(\s*['\"](\w+)['\"]")
_SECRET = "PGPASSWORD"  # noqa: S105 - a name; it is no part of a parsed project


def hash_project(project: Project) -> str:
    """Return a hash of all that dbt's parser reads for this project and target."""
    digest = hashlib.sha256()
    variables: set[str] = set()
    for path in _project_files(project.root):
        content = path.read_bytes()
        variables.update(name.decode() for name in _ENVIRONMENT.findall(content))
        _add(digest, str(path.relative_to(project.root)).encode(), content)
    for name in sorted(variables - {_SECRET}):
        _add(digest, name.encode(), os.environ.get(name, "").encode())
    overrides = repr(sorted(project.overrides.items())).encode()
    _add(digest, str(project.root).encode(), project.target.encode(), overrides)
    _add(digest, *(version(name).encode() for name in ("dbt-core", "dbt-postgres")))
    return digest.hexdigest()


def read_manifest(project: Project, project_hash: str) -> bytes | None:
    """Return what was kept for a project of this hash, or None."""
    heading, manifest = _read(project)
    return manifest if heading == _heading(project, project_hash) else None


def is_of_this_checkout(project: Project) -> bool:
    """Whether what was parsed last, in this home, are the files of this very folder."""
    heading, _ = _read(project)
    return heading.endswith(_heading(project, ""))


def keep_manifest(project: Project, project_hash: str, manifest: bytes) -> None:
    """Keep a parsed project in place of what was kept before; where that fails, keep nothing."""
    path = _path(project)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place: another process may read it meanwhile, or this one be killed.
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(_heading(project, project_hash) + b"\n" + manifest)
        Path(file.name).replace(path)


def _heading(project: Project, project_hash: str) -> bytes:
    return f"{project_hash} {project.root}".encode()


def _read(project: Project) -> tuple[bytes, bytes]:
    """Return the heading and the manifest of what was kept; both are empty where nothing was."""
    try:
        heading, _, manifest = _path(project).read_bytes().partition(b"\n")
    except OSError:
        return b"", b""
    return heading, manifest


def _path(project: Project) -> Path:
    return project.home / "target" / f"manifest-{project.target}.msgpack"


def _project_files(root: Path) -> Iterator[Path]:
    for name in _FILES:
        if (root / name).is_file():
            yield root / name
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in _SUFFIXES and path.is_file():
                yield path


def _add(digest: "hashlib._Hash", *parts: bytes) -> None:
    """Add parts to a hash, each with its length, so that their borders count."""
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
