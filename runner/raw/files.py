"""The directory of CSV files that a load reads."""

from pathlib import Path

from runner.errors import FunnelError
from runner.warehouse.raw_contract import RAW_TABLES, RawTable


def count_bytes(directory: Path) -> int:
    """Return how many bytes `load` will read: the total of its progress.

    Raises:
        FunnelError: The directory does not hold the files.
    """
    return sum(path.stat().st_size for _, path in find_files(directory))


def find_files(directory: Path) -> list[tuple[RawTable, Path]]:
    """Return the file of each raw table that has one; names in any case.

    Raises:
        FunnelError: One is missing, or there twice.
    """
    names = ", ".join(f"{table.name}.csv" for table in RAW_TABLES if not table.is_optional)
    hint = f"Give the directory that holds {names}."
    if not directory.exists():
        raise FunnelError(f"there is no directory {directory}", hint=hint)
    if not directory.is_dir():
        raise FunnelError(f"{directory} is not a directory", hint=hint)
    try:
        found = sorted(path for path in directory.iterdir() if path.is_file())
    except OSError as error:
        raise FunnelError(f"cannot read {directory}: {error.strerror}", hint=hint) from error
    if not found:
        raise FunnelError(f"there are no files in {directory}", hint=hint)
    candidates = {
        table: [path for path in found if path.name.lower() == f"{table.name}.csv"]
        for table in RAW_TABLES
    }
    missing = [
        f"{table.name}.csv"
        for table, paths in candidates.items()
        if not paths and not table.is_optional
    ]
    if missing:
        raise FunnelError(f"there is no {', '.join(missing)} in {directory}", hint=hint)
    for paths in candidates.values():
        if len(paths) > 1:
            same = " and ".join(path.name for path in paths)
            raise FunnelError(f"{directory} holds both {same}", hint="Keep one of them.")
    return [(table, paths[0]) for table, paths in candidates.items() if paths]
