"""One writer at a time where no database holds a lock: a file that only one process can create.

It lies where all who write to the lake can see it. Unlike a lock of Postgres it outlives a process
that is killed, and then has to be taken by whoever knows that nobody writes.
"""

import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import NamedTemporaryFile

from runner.errors import ExitCode, FunnelError

_PAUSE = 0.2
"""Seconds between two attempts."""


@dataclass(frozen=True)
class _Holder:
    purpose: str
    user: str
    host: str
    pid: int
    since: str

    def is_gone(self) -> bool:
        """Return whether it is a process of this machine that is no more."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False

    def describe(self) -> str:
        begun = f"{self.purpose} of {self.user} on {self.host}, process {self.pid}"
        age = datetime.now(timezone.utc) - datetime.fromisoformat(self.since)
        since = f"since {self.since[:16].replace('T', ' ')} UTC ({int(age.total_seconds())} s)"
        return f"{begun}, {since}{', which is gone' if self.is_gone() else ''}"


@contextmanager
def hold_file(path: Path, purpose: str, *, wait: float, steal: bool) -> Iterator[None]:
    """Be the only one who holds a file while the block runs.

    Args:
        path: The file; its folder is there.
        purpose: What the holder does, for whoever meets it.
        wait: Seconds to wait for another holder.
        steal: Whether to take the file from whoever holds it.

    Raises:
        FunnelError: Another one holds it, exit code 3.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    mine = _Holder(purpose, getpass.getuser(), socket.gethostname(), os.getpid(), now)
    deadline = time.monotonic() + wait
    if steal:
        path.unlink(missing_ok=True)
    while not _create(path, mine):
        holder = _read(path)
        if holder and time.monotonic() >= deadline:
            gone = "Add --steal-lock, as nobody holds it any more."
            raise FunnelError(
                f"another run holds the lock: {holder.describe()}",
                hint=gone if holder.is_gone() else "Wait until it ends, or add --wait SECONDS.",
                exit_code=ExitCode.LOCKED,
            )
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        if _read(path) == mine:  # nobody has taken it
            path.unlink(missing_ok=True)


def describe_file(path: Path) -> str:
    """Return who holds a file, and since when; an empty text if nobody does."""
    holder = _read(path)
    return holder.describe() if holder else ""


def _create(path: Path, holder: _Holder) -> bool:
    """Create the file with all it says, unless it is there."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}") as written:
        json.dump(asdict(holder), written)
        written.flush()
        with suppress(FileExistsError):
            os.link(written.name, path)
            return True
    return False


def _read(path: Path) -> _Holder | None:
    with suppress(FileNotFoundError):
        return _Holder(**json.loads(path.read_text(encoding="utf-8")))
    return None
