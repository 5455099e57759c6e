"""The dbt packages: from the package hub, or the bundled edition where the hub is out of reach."""

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
        if _install_from_hub(project):
            return
        _install_bundled(project.root / "packages" / PACKAGE, installed)
    except OSError as error:
        raise FunnelError(
            f"cannot write {installed}: {error.strerror}",
            hint="Make the folder writable, or install the packages once as its owner.",
        ) from error
    write_line(
        "The dbt package hub is out of reach: using the bundled edition of dbt_expectations.\n"
        "For the full package, run `dbt deps` where the hub can be reached.",
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


def _install_from_hub(project: Project) -> bool:
    from dbt.cli.main import dbtRunner

    logs = ("--log-level", "none", "--log-path", str(project.home / "logs"))
    folders = ("--project-dir", str(project.root), "--profiles-dir", str(project.root))
    return dbtRunner().invoke(["deps", *folders, *logs]).success


def _install_bundled(bundled: Path, installed: Path) -> None:
    # Copied aside and renamed, so that two processes can install at once.
    installed.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=installed, prefix=".") as scratch:
        copy = shutil.copytree(bundled, Path(scratch) / PACKAGE)
        with suppress(FileNotFoundError):
            (installed / PACKAGE).rename(Path(scratch) / "outdated")
        try:
            copy.rename(installed / PACKAGE)
        except OSError:
            if not (installed / PACKAGE / "dbt_project.yml").is_file():
                raise


if __name__ == "__main__":
    install_packages(Project.find())
