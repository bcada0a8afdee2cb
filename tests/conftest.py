"""What every test shares: no network, no cache of the person's, and real servers when asked.

The environment is set when pytest imports this file, before any test imports a library that
reads it. `postgres_server` starts once a session (about two seconds); `postgres_url` is a fresh,
empty database on it for one test, dropped afterwards. `mariadb_root_url` starts a MariaDB once a
session (about four seconds); `mariadb_url` is a database on it for an ordinary user, the same one
all session long, and `mariadb_fresh_url` one of its own for one test. Oracle's MySQL comes in no
package that the tests could start: what it spells differently is tested by recording.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import hypothesis
import pytest

# No time limit, which would judge the machine; and the same examples every time, so that a failure
# can be had again. `benchmarks/fuzz_check.py` and the slow suite hunt for new ones.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True)
hypothesis.settings.load_profile("project")

_CACHE = tempfile.mkdtemp(prefix="sqlcoder-magic-tests-")
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    XDG_CACHE_HOME=_CACHE,
    SQLCODER_MAGIC_CACHE=str(Path(_CACHE) / "sqlcoder_magic"),
    SQLCODER_MAGIC_DATA=str(Path(_CACHE) / "data"),
)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background commands with Ctrl-C ignored, and kernels would inherit that; the
    # tests that interrupt need it heard.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """Remove the session's cache directory."""
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The SQLAlchemy URL of a running PostgreSQL's `postgres` database, as superuser."""
    from servers import running_postgres

    with running_postgres() as url:
        yield url


_numbers = count(1)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The SQLAlchemy URL (psycopg 3) of a fresh, empty database, dropped after the test."""
    from sqlalchemy import create_engine, make_url, text

    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


# ---------------------------------------------------------------- MariaDB

_ORDINARY = "app", "app-password"  # may do everything in databases called `test…`, and no more


@pytest.fixture(scope="session")
def mariadb_root_url() -> Iterator[str]:
    """The SQLAlchemy URL (PyMySQL) of a running MariaDB, as its administrator, no database."""
    from servers import NoServerError, running_mariadb

    try:
        with running_mariadb() as url:
            _mariadb_user(url)
            yield url
    except NoServerError as error:
        pytest.skip(str(error))


def _mariadb_user(root_url: str) -> None:
    from sqlalchemy import create_engine

    name, password = _ORDINARY
    admin = create_engine(root_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE USER {name}@localhost IDENTIFIED BY '{password}'")
        connection.exec_driver_sql(f"GRANT ALL ON `test%%`.* TO {name}@localhost")
    admin.dispose()


@contextmanager
def _mariadb_database(root_url: str) -> Iterator[str]:
    """The ordinary user's URL of a new database, dropped at the end."""
    from sqlalchemy import create_engine, make_url

    database = f"test_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(root_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
    name, password = _ORDINARY
    url = make_url(root_url).set(username=name, password=password, database=database)
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {database}")
        admin.dispose()


@pytest.fixture(scope="session")
def mariadb_url(mariadb_root_url: str) -> Iterator[str]:
    """The SQLAlchemy URL (PyMySQL) of a database for an ordinary user, shared all session."""
    with _mariadb_database(mariadb_root_url) as url:
        yield url


@pytest.fixture
def mariadb_fresh_url(mariadb_root_url: str) -> Iterator[str]:
    """Like `mariadb_url`, but a new, empty database, dropped after the test."""
    with _mariadb_database(mariadb_root_url) as url:
        yield url


# ---------------------------------------------------------------- skipped tests

# How the reason of a skip may begin -> why that is no gap. With SQLCODER_MAGIC_STRICT_SKIPS=1, as
# in CI, any other skip fails the run.
ALLOWED_SKIPS = {
    "no Chromium": "a system package that only root can install; `.ci/run` tries",
    "no MariaDB server": "a system package that only root can install; `.ci/run` tries",
    "SQLCODER_MAGIC_DEV_DATA is not set": "those questions are not part of this project",
}
_unexplained: list[str] = []


def _note_skip(report: pytest.CollectReport | pytest.TestReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(tuple(ALLOWED_SKIPS)):
        _unexplained.append(f"{report.nodeid}: {reason}")


pytest_runtest_logreport = pytest_collectreport = _note_skip


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a strict run in which a test was skipped for no reason that is on the list."""
    if _unexplained and os.environ.get("SQLCODER_MAGIC_STRICT_SKIPS") == "1":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nSkipped for a reason that ALLOWED_SKIPS (tests/conftest.py) does not explain:")
        print("\n".join(_unexplained))
