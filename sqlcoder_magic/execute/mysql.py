"""MySQL and MariaDB, by PyMySQL or mysqlclient: a read-only transaction, the server's own parser.

A read-only transaction refuses every change to a table, but on MariaDB it lets DDL, GRANT, SET
and SELECT ... INTO OUTFILE pass. So before the text is sent, the server has to take it for the
inside of `SELECT EXISTS (...)`, in a PREPARE, which runs nothing: what fits there is one query
that writes nowhere. EXPLAIN, which fits in no bracket, is asked about what it explains.

The cancel is a KILL QUERY from a second connection, sent only to the server that answered the
first. It also ends a result of which the rest is not wanted: the protocol has no other way.

Not covered: functions that do harm while they compute (SLEEP, GET_LOCK; with the FILE right,
LOAD_FILE), which are the check's part. A SET TRANSACTION that the user meant for their next
transaction is used up. MariaDB is tested on a real server, Oracle's MySQL by what is sent.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock
from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.errors import EngineNotGuardedError, RunError
from sqlcoder_magic.execute.base import COMMENTS, Failure, Limits, not_guarded, unproven
from sqlcoder_magic.types import CheckedSQL

# Driver -> its cursor that leaves the rows on the server until they are fetched.
_DRIVERS = {"pymysql": "SSCursor", "MySQLdb": "SSCursor"}
# The error numbers of both servers.
_READ_ONLY_ERROR, _SYNTAX_ERROR, _IN_TRANSACTION, _KILLED = 1792, 1064, 1568, 1317
_TIME_IS_UP = (1969, 3024)  # MariaDB, MySQL
_LOST = (0, 1053, 1927, 2006, 2013, 2055, 4031)
# In a database that is not there: even if it were not refused, it would do nothing.
_PROBE = "CREATE TEMPORARY TABLE nl2sql_preflight.x (x INT)"
_SEVERAL = "DO 0; DO 0"
_LOCK_WAIT_S = 5
_CONCAT_BYTES = 2**20  # MariaDB's own; MySQL's 1,024 would cut a GROUP_CONCAT without an error
# Modes that change how a text is read: it was checked without them.
_READING_MODES = frozenset(
    "ANSI ANSI_QUOTES PIPES_AS_CONCAT NO_BACKSLASH_ESCAPES HIGH_NOT_PRECEDENCE REAL_AS_FLOAT "
    "ORACLE MSSQL DB2 MAXDB POSTGRESQL EMPTY_STRING_IS_NULL".split()
)
_SETTINGS = ("max_statement_time", "max_execution_time", "lock_wait_timeout",
             "innodb_lock_wait_timeout", "group_concat_max_len", "sql_mode", "tx_read_only",
             "transaction_read_only")  # fmt: skip
_SERVER = ("hostname", "port", "server_id", "server_uid", "server_uuid")  # which one this is
_SHOW = "SHOW SESSION VARIABLES WHERE Variable_name IN ('{}')"
_EXPLAIN = re.compile(COMMENTS + r"explain\s+(?:format\s*=\s*(?:json|tree)\s+)?", re.I | re.S)
# Strings, names, comments that hide no code, and single characters; a backslash has no place here.
_PIECES = re.compile(
    r"'[^']*'|\"[^\"]*\"|`[^`]*`|(?P<blank>[\s;]+|--(?=\s|$)[^\n]*|#[^\n]*|/\*(?![!M+]).*?\*/)|.",
    re.S,
)


class MySQLGuard:
    """One run on a connection of PyMySQL or mysqlclient."""

    threaded = True

    def __init__(self, session: Session, checked: CheckedSQL, limits: Limits) -> None:
        module = type(session.raw).__module__.split(".")
        driver = module[0]
        if driver not in _DRIVERS:
            raise not_guarded(
                f"MySQL by {'.'.join(module[:2])}",
                "only PyMySQL and mysqlclient can be kept to one statement in a text",
                fix="%pip install pymysql and connect with mysql+pymysql://…",
            )
        cursors = importlib.import_module(f"{driver}.cursors")
        self.errors: tuple[type[Exception], ...] = (
            importlib.import_module(driver).Error,
            UnicodeError,
            ValueError,
        )
        self.columns: tuple[str, ...] = ()
        self._session = session
        self._raw = session.raw
        self._limits = limits
        self._plain, self._streaming = cursors.Cursor, getattr(cursors, _DRIVERS[driver])
        self._before: Mapping[str, str] = {}
        self._server: Mapping[str, str] = {}
        self._thread = 0
        self._undo: list[str] = []
        self._several = False  # mysqlclient took several statements in one text
        self._cursor: Any = None
        self._unread = False
        self._lock = Lock()
        self._running = True

    @property
    def _engine(self) -> str:
        return "MariaDB" if "max_statement_time" in self._before else "MySQL"

    def begin(self) -> None:
        """See `Guard.begin`. In an open transaction nothing is sent: it would stay writable."""
        self._before = self._variables(_SETTINGS)
        self._server = self._variables(_SERVER)
        self._thread = self._rows("SELECT CONNECTION_ID()")[0][0]
        if self._refused("SET TRANSACTION READ ONLY", _IN_TRANSACTION):
            raise _open_transaction(self._engine)
        changes = settings(self._before, self._limits)
        if not changes.keys() & {"max_statement_time", "max_execution_time"}:
            raise not_guarded(self._engine, "this server knows no time limit for a statement")
        self._undo = undoing(self._before, changes, owned=self._session.owned)
        self._do(_set(changes))
        self._do("SET SESSION TRANSACTION READ ONLY")
        self._do("START TRANSACTION READ ONLY")
        self._one_statement_only()
        if not self._refused(_PROBE, _READ_ONLY_ERROR):
            raise unproven(self._engine, "creating a temporary table")

    def execute(self, sql: str) -> None:
        """See `Guard.execute`. Raises RunError for what is not one query to the server's parser."""
        self._vouch(sql)
        self._cursor = self._streaming(self._raw)
        self._cursor.execute(sql)
        self._unread = True
        self.columns = tuple(str(column[0]) for column in self._cursor.description or ())

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """See `Guard.fetch`."""
        try:
            rows = list(self._cursor.fetchmany(count))
        except self.errors:
            self._unread = False
            raise
        self._unread = len(rows) == count
        return rows

    def cancel(self) -> None:
        """See `Guard.cancel`."""
        with self._lock:
            if self._running:
                self._kill()

    def restore(self) -> None:
        """See `Guard.restore`. A session of ours that cannot be put back is thrown away."""
        with self._lock:
            self._running = False
        try:
            self._end_result()
            for statement in self._undo:
                self._do_even_if_killed(statement)
            if self._several:
                self._raw.set_server_option(0)
        except self.errors:
            if not self._session.owned:
                raise
            if self._session.alchemy is not None:
                self._session.alchemy.invalidate()

    def failure(self, error: Exception) -> Failure:
        """See `Guard.failure`."""
        code = _code(error)
        if code is None:
            return Failure(str(error))
        text = str(error.args[1]) if len(error.args) > 1 else ""
        return Failure(text, timeout=code in _TIME_IS_UP, lost=code in _LOST)

    # ------------------------------------------------------------ statements

    def _rows(self, sql: str, raw: Any = None) -> list[tuple[Any, ...]]:
        cursor = self._plain(raw or self._raw)
        try:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def _do(self, sql: str) -> None:
        self._rows(sql)

    def _do_even_if_killed(self, sql: str) -> None:
        """A KILL QUERY may arrive late and hit one statement of this guard's."""
        try:
            self._do(sql)
        except self.errors as error:
            if _code(error) != _KILLED:
                raise
            self._do(sql)

    def _refused(self, sql: str, code: int) -> bool:
        """Whether the server refuses it for this reason."""
        try:
            self._do(sql)
        except self.errors as error:
            return _code(error) == code
        return False

    def _variables(self, names: tuple[str, ...], raw: Any = None) -> dict[str, str]:
        rows = self._rows(_SHOW.format("', '".join(names)), raw)
        return {str(name).lower(): str(value) for name, value in rows}

    # ------------------------------------------------------------ proofs

    def _one_statement_only(self) -> None:
        """mysqlclient asks servers to take several statements in one text; it can be told not to.

        PyMySQL asks for it only if the user does, and then cannot take it back.
        """
        if self._refused(_SEVERAL, _SYNTAX_ERROR):
            return
        if hasattr(self._raw, "set_server_option"):
            self._raw.set_server_option(1)
            self._several = True
            if self._refused(_SEVERAL, _SYNTAX_ERROR):
                return
        raise not_guarded(
            self._engine,
            "this connection takes several statements in one text",
            fix="Connect without the client flag MULTI_STATEMENTS.",
        )

    def _vouch(self, sql: str) -> None:
        explained = _EXPLAIN.match(sql)
        query = _without_end(sql[explained.end() :] if explained else sql)
        text = f"SELECT EXISTS ({query}\n)"  # below a comment at its end; lines keep their number
        quoted = text.replace("\\", "\\\\").replace("'", "''")
        try:
            self._do(f"PREPARE nl2sql_vouch FROM '{quoted}'")
        except self.errors as error:
            if _code(error) == _SYNTAX_ERROR:
                raise _no_query(self._engine, str(error.args[1])) from None
            raise
        self._do("DEALLOCATE PREPARE nl2sql_vouch")

    # ------------------------------------------------------------ stopping

    def _end_result(self) -> None:
        """Read what was sent already. Without the KILL this goes on until the time limit."""
        if self._cursor is None:
            return
        if self._unread:
            self._kill()
        with suppress(*self.errors):  # that it was killed
            self._cursor.close()

    def _kill(self) -> None:
        """Stop what runs in this session, if a second connection to its server can be had.

        If not, a cancel is repeated, and the server's own time limit stands behind it. A name
        that several servers answer to may lead to another one, where the number of our session
        is somebody else's.
        """
        if self._session.engine is None:
            return
        pool = self._session.engine.pool.recreate()  # the user's own may be full
        with suppress(*self.errors):
            other = pool.connect()
            raw = other.driver_connection
            if self._variables(_SERVER, raw) == self._server:
                self._rows(f"KILL QUERY {int(self._thread)}", raw)
            other.close()
        pool.dispose()


# ---------------------------------------------------------------- what is sent, as values


def settings(before: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """What a run sets, as SQL: of `before`, the variables of the server and their values.

    max_statement_time counts seconds on MariaDB, max_execution_time milliseconds on MySQL, where
    it holds for SELECT alone.
    """
    wait = max(1, min(_LOCK_WAIT_S, math.ceil(limits.seconds)))
    modes = [m for m in before.get("sql_mode", "").split(",") if m.upper() not in _READING_MODES]
    concat = max(_CONCAT_BYTES, int(before.get("group_concat_max_len", 0)))
    wanted = {
        "max_statement_time": f"{limits.milliseconds / 1000:.3f}",
        "max_execution_time": str(limits.milliseconds),
        "lock_wait_timeout": str(wait),
        "innodb_lock_wait_timeout": str(wait),
        "group_concat_max_len": str(concat),
        "sql_mode": f"'{','.join(modes)}'",
    }
    return {name: value for name, value in wanted.items() if name in before}


def undoing(before: Mapping[str, str], changes: Mapping[str, str], *, owned: bool) -> list[str]:
    """The statements that end the transaction and put the session back.

    A GET_LOCK would outlive the transaction; on the user's own connection, theirs would go too.
    """
    back = {n: f"'{before[n]}'" if n == "sql_mode" else before[n] for n in changes}
    writable = "OFF" in (before.get("transaction_read_only"), before.get("tx_read_only"))
    return [
        "ROLLBACK AND NO CHAIN NO RELEASE",  # whatever completion_type says
        f"SET SESSION TRANSACTION READ {'WRITE' if writable else 'ONLY'}",
        _set(back),
        *(["DO RELEASE_ALL_LOCKS()"] if owned else []),
    ]


def _set(values: Mapping[str, str]) -> str:
    return "SET SESSION " + ", ".join(f"{name} = {value}" for name, value in values.items())


def _without_end(sql: str) -> str:
    """`sql` without the semicolons, blanks and comments after its end.

    Where quotes could be read in two ways (a backslash), only semicolons and blanks go. Whatever
    this misreads leaves a text that no longer parses.
    """
    if "\\" in sql:
        return sql.rstrip("; \t\r\n")
    end = 0
    for piece in _PIECES.finditer(sql):
        if piece["blank"] is None:
            end = piece.end()
    return sql[:end]


def _code(error: Exception) -> int | None:
    """The server's or the driver's number of an error; None for one of Python's own."""
    code = error.args[0] if error.args else None
    return code if isinstance(code, int) else None


def _no_query(engine: str, said: str) -> RunError:
    said = said.rpartition("syntax to use ")[2] or said
    return RunError(
        f"{engine}'s own parser does not take this for one query; nothing was run "
        f"({' '.join(said.split())}).",
        fix="Read the SQL, and if it is right run it yourself in a `%%sql` cell.",
    )


def _open_transaction(engine: str) -> EngineNotGuardedError:
    return not_guarded(
        engine,
        "the connection has an open transaction, which cannot be made read-only",
        fix="Commit or roll back first, or give the Engine: it opens a second connection.",
    )
