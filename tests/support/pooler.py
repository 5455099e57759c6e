"""PgBouncer before a server, as hosted databases have it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from servers import HOST, TcpPostgres, find_free_port

_PATIENCE = 30


@contextmanager
def pooling(server: TcpPostgres, mode: str) -> Iterator[dict[str, str]]:
    """Yield the variables by which prod and dev find a pooler of this mode before a server."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        assert os.environ.get("CI") != "true", ".ci/run installs pgbouncer"
        pytest.skip("pgbouncer is not installed")
    folder = Path(tempfile.mkdtemp(prefix="funnel-pooler-"))
    port = find_free_port()
    (folder / "pgbouncer.ini").write_text(
        f"""
        [databases]
        * = host={HOST} port={server.port} user={server.user} password={server.password}
        [pgbouncer]
        listen_addr = {HOST}
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = {mode}
        """
    )
    folder.chmod(0o755)  # it refuses to be root
    process = subprocess.Popen(
        [program, folder / "pgbouncer.ini"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user="nobody" if os.geteuid() == 0 else None,
    )
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg2.connect(host=HOST, port=port, user="x", dbname=server.database).close()
                break
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield {**server.environment, "PGPORT": str(port)}
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)
