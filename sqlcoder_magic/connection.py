"""What a user has (a URL, an Engine, a jupysql connection …) -> one `Database` value.

Covers: recognising the object, refusing what cannot work with a sentence, never creating a
database by accident, opening a session on it, and hiding passwords (`redaction.py`). Does not
cover: reading the schema (`schema/`) and running SQL under guard (`execute/`), which both
build on `Database.session`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sqlcoder_magic.embedded import connect_files, connect_frames, looks_like_files
from sqlcoder_magic.errors import (
    DatabaseConnectionError,
    LostConnectionError,
    NL2SQLError,
    NoConnectionError,
    OptionError,
)
from sqlcoder_magic.redaction import kept_secrets, public_url, redact

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

HOW_TO_CONNECT = (
    "Connect first: `%sqlcoder connect postgresql://user@host/database` (any SQLAlchemy URL), "
    "`%sqlcoder connect sample` for the sample shop, or jupysql's `%sql URL`; "
    "or name one for this question with `-c`."
)
ACCEPTED = (
    "Give a SQLAlchemy URL, Engine or Connection, a jupysql connection or its alias, "
    "a native DuckDB connection, files (data/*.csv), or 'sample'."
)
# SQLAlchemy's name of a dialect -> sqlglot's, where they differ.
_SQLGLOT_NAMES = {
    "postgresql": "postgres",
    "mariadb": "mysql",
    "mssql": "tsql",
    "hive": "spark",  # SQLAlchemy reaches Spark's Thrift server by PyHive
    "awsathena": "athena",
}
_ROWS_AT_ONCE = 5_000
_PROPER = {"sqlite": "SQLite", "duckdb": "DuckDB"}
# Engines whose catalogue and data are read without SQLAlchemy's Connection.
_READ_RAW = frozenset({"sqlite", "duckdb", "postgresql", "mysql", "mariadb"})
# Driver module -> what to install for it.
_DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "duckdb_engine": "duckdb duckdb-engine",
    "duckdb": "duckdb duckdb-engine",
    "MySQLdb": "mysqlclient",
    "pymysql": "PyMySQL",
    "pyodbc": "pyodbc",
    "oracledb": "oracledb",
    "snowflake": "snowflake-sqlalchemy",
    "sqlalchemy_bigquery": "sqlalchemy-bigquery",
    "trino": "trino",
}


@dataclass
class Session:
    """A driver's connection in use.

    `raw` is the driver's own object (sqlite3.Connection, psycopg.Connection, DuckDBPyConnection
    …). `owned` is True if it was opened for this use and may be changed at will; False if it is
    the only one the user has, so that every setting must be put back. `engine` is where a second
    connection to the same server comes from. `stopped` is set by another thread: no further
    statement is sent.
    """

    raw: Any
    owned: bool
    alchemy: Connection | None = None
    engine: Engine | None = None
    stopped: bool = False

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one of this package's own statements (never of a model's).

        Raises KeyboardInterrupt if `stopped` is set.
        """
        if self.stopped:
            raise KeyboardInterrupt
        cursor = self.raw.cursor()
        if type(cursor).__module__ == "sqlite3":
            cursor.row_factory = None  # the user's connection may make anything of a row
        try:
            cursor.execute(sql, tuple(parameters)) if parameters else cursor.execute(sql)
            rows: list[tuple[Any, ...]] = []
            while some := cursor.fetchmany(_ROWS_AT_ONCE):  # in between, Ctrl-C is heard
                rows += [row if type(row) is tuple else _plain_row(row) for row in some]
                if self.stopped:
                    raise KeyboardInterrupt
            return rows
        finally:
            cursor.close()


def _plain_row(row: Any) -> tuple[Any, ...]:
    """A driver's row; some give mappings where the user's connection asks for them."""
    return tuple(row.values()) if isinstance(row, Mapping) else tuple(row)


@dataclass(frozen=True)
class Database:
    """A database that can be asked.

    `dialect` is sqlglot's name for it and `engine_name` SQLAlchemy's; `label` is what people see
    (no password, ever); `alias` is jupysql's name for it, or the one it should get. One of
    `engine`, `connection` and `native` is set: an Engine, the user's own Connection, a DuckDB
    connection.
    """

    dialect: str
    engine_name: str
    label: str
    engine: Engine | None = field(default=None, repr=False)
    connection: Connection | None = field(default=None, repr=False)
    native: Any = field(default=None, repr=False)
    alias: str = ""

    @property
    def source(self) -> Any:
        """The user's own object; caches hold it weakly or compare it by identity."""
        return next(x for x in (self.connection, self.engine, self.native) if x is not None)

    @property
    def single(self) -> bool:
        """True if a second connection would be another database, or there can be none."""
        if self.connection is not None:
            return True
        if self.engine is None:
            return False  # DuckDB gives a second connection by cursor()
        from sqlalchemy.pool import SingletonThreadPool, StaticPool

        return isinstance(self.engine.pool, StaticPool | SingletonThreadPool)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session, closed or handed back at the end. Errors in opening are sentences."""
        if self.native is not None:
            cursor = self._opened(self.native.cursor)
            try:
                yield Session(cursor, owned=True)
            finally:
                cursor.close()
        elif self.connection is not None:
            raw = self._opened(lambda: self.connection.connection.driver_connection)
            yield Session(raw, False, self.connection, self.connection.engine)
        elif (raw := self._static_raw()) is not None:
            yield Session(raw, owned=False, engine=self.engine)
        else:
            assert self.engine is not None
            alchemy = self._opened(self._answering)
            try:
                raw = alchemy.connection.driver_connection
                yield Session(raw, not self.single, alchemy, self.engine)
            finally:
                alchemy.close()

    def _answering(self) -> Connection:
        """A connection that answers: a pool of the user's may hold some from before the server
        restarted, each of which is given back for a new one."""
        assert self.engine is not None
        alchemy = self.engine.connect()
        asks = not self.single and not getattr(self.engine.pool, "_pre_ping", False)
        for _ in range(20 if asks else 0):  # as many may have died
            with suppress(Exception):  # each driver has its own kinds
                if alchemy.dialect.do_ping(alchemy.connection.dbapi_connection):  # type: ignore[arg-type]
                    break
            alchemy.invalidate()
            alchemy.close()
            alchemy = self.engine.connect()
        return alchemy

    def _static_raw(self) -> Any:
        """A StaticPool's only connection: not checked out, because handing it back would roll
        back a transaction that the user has open on it."""
        from sqlalchemy.pool import StaticPool

        if self.engine_name not in _READ_RAW or self.engine is None:
            return None
        pool = self.engine.pool
        if not isinstance(pool, StaticPool):
            return None
        return self._opened(lambda: pool.connection.driver_connection)

    def _opened(self, connect: Any) -> Any:
        try:
            return connect()
        except Exception as error:  # noqa: BLE001  (each driver has its own kinds)
            problem = connection_error(error, self)
        raise problem  # outside the handler: the driver's error, chained, could hold a secret

    @property
    def any_engine(self) -> Engine | None:
        """The engine, or that of the user's own Connection; None for a native connection."""
        return self.engine if self.connection is None else self.connection.engine

    def redact(self, text: str) -> str:
        """`text` without this database's password, wherever it came from."""
        engine = self.any_engine
        if engine is None:
            return redact(text)
        return redact(text, engine.url, kept_secrets(getattr(engine.pool, "_creator", None)))


def open_database(value: object, namespace: Mapping[str, Any] | None = None) -> Database:
    """What a user has -> `Database`. None means jupysql's current connection.

    `namespace` holds the notebook's variables, among which a plain name is looked up after
    jupysql's aliases. Nothing is sent to the database yet. Raises NoConnectionError,
    DatabaseConnectionError or OptionError.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        value = _jupysql("current")
        if value is None:
            raise NoConnectionError("No database connection.", fix=HOW_TO_CONNECT)
    if isinstance(value, Database):
        return value
    if isinstance(value, str | os.PathLike):
        return _from_text(os.fspath(value).strip(), namespace or {})
    return _from_object(value)


def open_frames(names: Sequence[str], namespace: Mapping[str, Any]) -> Database:
    """DataFrames of the notebook, by their variables' names -> `Database`. Raises OptionError."""
    engine = connect_frames(names, namespace)
    return Database(
        "duckdb", "duckdb", "DataFrames of this notebook", native=engine, alias="frames"
    )


def _from_text(text: str, namespace: Mapping[str, Any]) -> Database:
    if text == "sample":
        from sqlcoder_magic.sample import sample_path

        return replace(_from_url(f"sqlite:///{sample_path()}"), alias="sample")
    known = _jupysql("connections") or {}
    if text in known:
        return _from_object(known[text])
    if "://" in text or re.search("(:|//).*@", text):  # also a mistyped one, which is not repeated
        return _from_url(text)
    if text.isidentifier() and text in namespace:
        return _from_object(namespace[text])
    if looks_like_files(text):
        label = f"files {text} (DuckDB)"
        return Database("duckdb", "duckdb", label, native=connect_files(text), alias="files")
    if os.path.exists(text):
        raise DatabaseConnectionError(
            f"{text!r} is a file, not a connection.",
            fix=f"For a SQLite file write sqlite:///{text}, for a DuckDB file duckdb:///{text}.",
        )
    if re.search(r"[\\/]|\.(db|sqlite3?|duckdb)$", text):
        raise NoConnectionError(
            f"There is no file {redact(text)[:200]}.",
            fix=f"Check the path; relative ones begin at {Path.cwd()}. A database on a server is "
            "written postgresql://user@host/database.",
        )
    names = ", ".join(sorted(redact(str(name)) for name in known)) or "none yet"
    raise NoConnectionError(
        f"There is no connection or variable called {redact(text)[:80]!r} (jupysql's: {names}).",
        fix=ACCEPTED,
    )


def _from_object(value: Any) -> Database:
    module = type(value).__module__.split(".")[0]
    if module in ("duckdb", "_duckdb") and type(value).__name__ == "DuckDBPyConnection":
        return Database("duckdb", "duckdb", "duckdb (native connection)", native=value)
    if module == "sql":  # jupysql's wrappers
        return _from_jupysql(value)
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

    if isinstance(value, URL):
        return _from_url(value)
    if isinstance(value, Engine):
        if (value.url.database or "").startswith("/"):  # a relative one: from which directory?
            _require_file(value.url)
        return _database(value)
    if isinstance(value, Connection):
        if value.closed:
            raise LostConnectionError("This connection is closed.", fix="Open a new one.")
        found = _database(value.engine)
        return Database(found.dialect, found.engine_name, found.label, connection=value)
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    if kind.startswith("sqlalchemy.ext.asyncio"):
        raise OptionError(
            "An asynchronous engine cannot be used here.",
            fix="Make a plain one: create_engine(URL).",
        )
    asks = "Ask DataFrames with `%%nl2sql --frames NAME`; `-c` takes a database."
    is_frame = type(value).__name__ in ("DataFrame", "LazyFrame")
    raise OptionError(
        f"The type {kind} is not a database connection.", fix=asks if is_frame else ACCEPTED
    )


def _from_jupysql(value: Any) -> Database:
    """jupysql's wrapper of a SQLAlchemy connection, or of a driver's own."""
    inner: Any = getattr(value, "_connection", None)  # `connection_sqlalchemy` raises on a driver's
    found = _from_object(getattr(inner, "engine", inner))
    return replace(found, alias=str(getattr(value, "alias", "") or ""))


_engines: dict[str, Engine] = {}


def _from_url(text: str | URL) -> Database:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        url = None
    if url is None or (url.host and "@" in (url.database or "")):  # an '@' and '/' in the password
        raise DatabaseConnectionError(
            "This is not a SQLAlchemy URL.",
            fix="It looks like postgresql://user:password@host:5432/database; a '@', '/' or ':' "
            "in the password is written %40, %2F, %3A.",
        )
    is_file = _require_file(url)
    key = url.render_as_string(hide_password=False)
    if is_file:  # the same relative path is another file after %cd
        key = f"{Path.cwd()} {key}"
    if key not in _engines:
        _engines[key] = _create_engine(url, is_file=is_file)
    return _database(_engines[key])


def _create_engine(url: URL, *, is_file: bool) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError

    problem: NL2SQLError
    try:
        if url.get_dialect().is_async:
            raise OptionError(
                f"{url.drivername} is an asynchronous driver, which cannot be used here.",
                fix=f"Use {url.get_backend_name()}:// with its plain driver.",
            )
        return create_engine(url, **_engine_options(url, is_file=is_file))
    except NoSuchModuleError:
        problem = DatabaseConnectionError(
            f"There is no SQLAlchemy dialect called {url.drivername!r} here.",
            fix=_dialect_hint(url.drivername),
        )
    except ImportError as error:
        problem = _missing_driver(error, url.drivername)
    except NL2SQLError as error:
        problem = error
    except Exception as error:  # noqa: BLE001  (each dialect has its own kinds)
        problem = DatabaseConnectionError(
            f"This URL cannot be used: {redact(str(error), url)}", fix="Check the URL."
        )
    raise problem  # outside the handler: the driver's error, chained, could hold a secret


def _engine_options(url: URL, *, is_file: bool) -> dict[str, Any]:
    if is_file:
        from sqlalchemy.pool import NullPool

        # A connection kept open would read on in a file that was replaced, and lock DuckDB's.
        return {"poolclass": NullPool}
    # A server that restarted costs one retry, not an error.
    return {} if url.get_backend_name() in _PROPER else {"pool_pre_ping": True}


def _require_file(url: URL) -> bool:
    """Whether the URL names a SQLite or DuckDB file; refuses one that is not there, which the
    driver would create, and one of the other engine."""
    name = url.database or ""
    backend = url.get_backend_name()
    if backend not in _PROPER or re.fullmatch("(:memory:|(md|motherduck):.*)?", name):
        return False
    if name.startswith("file:"):
        if "mode=memory" in name or "mode=memory" in str(url.query) or ":memory:" in name:
            return False
        name = unquote(name.removeprefix("file:").split("?")[0])
    if os.path.isdir(name):
        raise DatabaseConnectionError(
            f"{name} is a directory.", fix="Name the database file in it."
        )
    if not os.path.exists(name):
        raise DatabaseConnectionError(
            f"There is no file {name}; no empty database was created.",
            fix="Check the path; after sqlite:/// or duckdb:/// an absolute one adds a slash.",
        )
    _require_kind(name, backend)
    return True


def _require_kind(name: str, backend: str) -> None:
    """Refuse the other engine's file by its first bytes: DuckDB would download an extension."""
    try:
        with Path(name).open("rb") as file:
            head = file.read(16)
    except OSError as error:
        problem, fix = f"{name} cannot be read: {error.strerror}.", "Check its permissions."
    else:
        kind = "sqlite" if head[:13] == b"SQLite format" else ""
        kind = "duckdb" if head[8:12] == b"DUCK" else kind
        if kind in ("", backend):
            return
        problem = f"{name} is a {_PROPER[kind]} file, not one of {_PROPER[backend]}."
        fix = f"Write {kind}:///{name}."
    raise DatabaseConnectionError(problem, fix=fix)


def _database(engine: Engine) -> Database:
    name = engine.dialect.name
    return Database(_SQLGLOT_NAMES.get(name, name), name, public_url(engine.url), engine=engine)


def _jupysql(attribute: str) -> Any:
    """`ConnectionManager.<attribute>` if jupysql is loaded; loading it would cost seconds."""
    module = sys.modules.get("sql.connection")
    manager = getattr(module, "ConnectionManager", None)
    return getattr(manager, attribute, None)


# ---------------------------------------------------------------- errors


def connection_error(error: Exception, database: Database) -> DatabaseConnectionError:
    """The driver's error in opening `database`, as a sentence without its password."""
    if isinstance(error, ImportError):
        return _missing_driver(error, database.engine_name)
    original = getattr(error, "orig", None) or error
    text = database.redact(str(original)).strip().splitlines()
    what = " ".join(" ".join(text[:3]).split()) or type(original).__name__
    return DatabaseConnectionError(
        f"Cannot reach {database.label}: {what}", fix=_how_to_reach(database, what)
    )


def _how_to_reach(database: Database, what: str) -> str:
    if "different configuration" in what:  # DuckDB: one process, one way of opening a file
        return "The file is open in this notebook already: name that connection, `-c NAME`."
    if database.engine_name == "duckdb" and "lock" in what:
        return "Close it in the other program, then ask again."
    if database.engine_name in _PROPER:
        return "Check the file, or open the connection anew."
    return "Check host, port, database, user and password, and that the server runs."


def _missing_driver(error: ImportError, drivername: str) -> DatabaseConnectionError:
    module = (error.name or "").split(".")[0]
    package = _DRIVERS.get(module, module or "its driver")
    return DatabaseConnectionError(
        f"The driver for {drivername} is not installed (no module {module!r}).",
        fix=f"%pip install {package}",
    )


# Dialects that a package adds -> that package; "": they come with SQLAlchemy.
_DIALECTS = {
    **dict.fromkeys(("sqlite", "postgresql", "mysql", "mariadb", "oracle", "mssql"), ""),
    "duckdb": "duckdb duckdb-engine",
    "snowflake": "snowflake-sqlalchemy",
    "bigquery": "sqlalchemy-bigquery",
    "redshift": "sqlalchemy-redshift",
    "trino": "trino[sqlalchemy]",
    "databricks": "databricks-sqlalchemy",
    "clickhouse": "clickhouse-sqlalchemy",
}


def _dialect_hint(drivername: str) -> str:
    import difflib
    from importlib.metadata import entry_points

    backend = drivername.split("+")[0]
    if _DIALECTS.get(backend):
        return f"%pip install {_DIALECTS[backend]}"
    near = difflib.get_close_matches(backend, list(_DIALECTS), n=1)
    guess = f"Did you mean {near[0]}://? " if near else ""
    added = {point.name.split(".")[0] for point in entry_points(group="sqlalchemy.dialects")}
    own = [name for name, package in _DIALECTS.items() if not package]
    return guess + "Installed: " + ", ".join([*own, *sorted(added - set(own))]) + "."
