"""The dbt packages: from the package hub, or the bundled edition where the hub is out of reach."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from runner.console import write_line
from runner.errors import FunnelError
from runner.project import Project

PACKAGE = "dbt_expectations"


def install_packages(project: Project) -> None:
    """Install what packages.yml names, unless it is there already.

    A bundled edition that was installed by an earlier version of this project is replaced.

    Raises:
        FunnelError: The folder dbt_packages cannot be written.
    """
    if is_installed(project) and not _is_outdated(project):
        return
    installed = project.root / "dbt_packages"
    write_line(f"Installing the dbt package {PACKAGE} …", err=True)
    try:
        installed.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=project.root, prefix=".dbt_packages_") as folder:
            scratch = Path(folder)
            if is_from_hub := _download(project, scratch):
                downloaded = list((scratch / "dbt_packages").iterdir())
            else:
                bundled = project.root / "packages" / PACKAGE
                downloaded = [shutil.copytree(bundled, scratch / "bundled" / PACKAGE)]
            for package in downloaded:
                _replace(installed / package.name, package, scratch)
        if is_from_hub:
            return
    except OSError as error:
        raise FunnelError(
            f"cannot write {installed}: {error.strerror}",
            hint="Make the folder writable, or install the packages once as its owner.",
        ) from error
    write_line(
        f"The dbt package hub is out of reach: using the bundled edition of {PACKAGE}.\n"
        "For the full package, type `dbt deps` where the hub can be reached. Elsewhere that only"
        " removes the bundled edition, and the next command of funnel brings it back.",
        err=True,
    )


def is_installed(project: Project) -> bool:
    """Return whether dbt finds the packages that packages.yml names."""
    return (project.root / "dbt_packages" / PACKAGE / "dbt_project.yml").is_file()


def _is_outdated(project: Project) -> bool:
    installed = project.root / "dbt_packages" / PACKAGE
    if (installed / "README.md").is_file():  # the package of the hub, which has one
        return False
    return _read_files(installed) != _read_files(project.root / "packages" / PACKAGE)


def _read_files(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def _download(project: Project, folder: Path) -> bool:
    """Have dbt install the packages below another folder: it removes the old ones first."""
    if not _hub_answers():
        return False
    from dbt.cli.main import dbtRunner

    for name in ("dbt_project.yml", "packages.yml", "package-lock.yml"):
        if (project.root / name).exists():
            shutil.copy(project.root / name, folder)
    logs = ("--log-level", "none", "--log-path", str(project.home / "logs"))
    folders = ("--project-dir", str(folder), "--profiles-dir", str(project.root))
    working_folder = Path.cwd()
    try:
        outcome = dbtRunner().invoke(["deps", *folders, *logs])
    finally:
        os.chdir(working_folder)  # dbt has changed into the other one
    if isinstance(outcome.exception, KeyboardInterrupt):
        raise outcome.exception
    return outcome.success


def _hub_answers() -> bool:
    """Ask once: dbt would ask six times, a second apart, or 30 where a firewall drops packets."""
    import requests
    from dbt.clients.registry import DEFAULT_REGISTRY_BASE_URL

    try:
        requests.head(str(DEFAULT_REGISTRY_BASE_URL), timeout=3)
    except requests.RequestException:
        return False
    return True


def _replace(installed: Path, package: Path, scratch: Path) -> None:
    """Rename a package to its place, so that two processes can install at once."""
    with suppress(FileNotFoundError):
        installed.rename(scratch / f"outdated_{installed.name}")
    try:
        package.rename(installed)
    except OSError:
        if not (installed / "dbt_project.yml").is_file():
            raise


if __name__ == "__main__":
    install_packages(Project.find())
