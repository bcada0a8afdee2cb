"""What a user taught about each database, and what was asked: one small SQLite file.

    memory = Memory()
    here = fingerprint(database, lambda: tables)
    memory.remember(here, "How many sales?", "SELECT COUNT(*) FROM sales")
    memory.recall(here, "how many sales")

Keeps questions with their right SQL, rules ("active means status = 'A'") and the last questions
with their SQL. Never rows, never credentials: a database is known by a hash, and a text that
looks as if it held a secret is refused, or kept without it in the history. The file is its
owner's alone (mode 0600). One that is damaged is kept aside, and a new one begun. Not covered:
whether remembered SQL still fits the schema; `pipeline` has it checked each time.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlcoder_magic.connection import Database
from sqlcoder_magic.errors import MemoryFileError
from sqlcoder_magic.redaction import redact
from sqlcoder_magic.types import Question

VARIABLE = "SQLCODER_MAGIC_DATA"  # names the directory, in place of the platform's own
HISTORY_CAP = 1_000  # questions kept a database; older ones go
TEXT_CAP = 20_000  # characters of a question, a rule or an SQL
_BUSY_S = 5.0  # how long another kernel may be writing
_VERSION = 1
_TABLES = {
    "golden": ("id", "database", "normal", "question", "sql", "at"),
    "rules": ("id", "database", "text", "at"),
    "asked": ("id", "database", "question", "sql", "at"),
}
# Where two notebooks begin the file at once, the second finds it made.
_CREATE = """
CREATE TABLE IF NOT EXISTS golden (id INTEGER PRIMARY KEY, database TEXT NOT NULL,
    normal TEXT NOT NULL, question TEXT NOT NULL, sql TEXT NOT NULL, at REAL NOT NULL,
    UNIQUE (database, normal));
CREATE TABLE IF NOT EXISTS rules (id INTEGER PRIMARY KEY, database TEXT NOT NULL,
    text TEXT NOT NULL, at REAL NOT NULL, UNIQUE (database, text));
CREATE TABLE IF NOT EXISTS asked (id INTEGER PRIMARY KEY, database TEXT NOT NULL,
    question TEXT NOT NULL, sql TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS asked_by_database ON asked (database, id);
"""
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
# Words that ask and say nothing about what is asked.
_FILLER = frozenset(
    "a an and are can could display do does find get give have i is know like list may me might "
    "our please show tell that the there these those to us want was we were what which would you "
    "your".split()
)
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+|[<>=≤≥%$€+*/]+", re.UNICODE)
_DEFINES = re.compile(r"(.{1,80}?)(?:\s+means\s|\s*=\s)", re.IGNORECASE)


@dataclass(frozen=True)
class Golden:
    """A question with the SQL that a user says is right. `number` names it to `forget`."""

    number: int
    question: str
    sql: str


@dataclass(frozen=True)
class Rule:
    """What a user says the model should know. `number` names it to `forget`."""

    number: int
    text: str


@dataclass(frozen=True)
class Asked:
    """A question, its SQL (empty where there was none), and when: seconds since 1970."""

    question: str
    sql: str
    at: float


@dataclass(frozen=True)
class Taught:
    """What the memory has for a question: the question with the rules for it, and perhaps SQL."""

    question: Question
    golden: Golden | None = None
    notes: tuple[str, ...] = ()


def fingerprint(database: Database, tables: Callable[[], Iterable[str]]) -> str:
    """The hash by which a database is known: 32 hexadecimal digits.

    Of its dialect and its URL without user and password (a file's with its full path), so that
    a new table or another user changes nothing. Where the URL does not tell one database from
    another (in memory, a native connection), of `tables`' names instead.
    """
    place = _place(database) or "\n".join(sorted(tables()))
    known = _storable(f"{database.dialect}\n{place}")
    return hashlib.sha256(known.encode()).hexdigest()[:32]


def _place(database: Database) -> str:
    engine = database.any_engine
    if engine is None:
        return ""
    url, name = engine.url, engine.url.database or ""
    if database.engine_name in ("sqlite", "duckdb"):
        if not name or ":memory:" in name or "mode=memory" in str(url):
            return ""
        return name if name.startswith(("file:", "md:")) else str(Path(name).absolute())
    details = "&".join(f"{key}={value}" for key, value in sorted(url.query.items()))
    return redact(f"{url.host}:{url.port}/{name}?{details}", url)


def normal(question: str) -> str:
    """The words of a question that count, in their order: equal for nearly equal questions.

    Case, punctuation, plurals and words such as "please show me the" do not count; numbers,
    values, negations and the order of words do.
    """
    found = [token.casefold() for token in _TOKEN.findall(_storable(question))]
    kept = [_singular(token) for token in found if token not in _FILLER]
    return " ".join(kept or found)


def _storable(text: str) -> str:
    """The text with half characters (lone surrogates), which SQLite cannot hold, spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def concerns(rule: str, question: str) -> bool:
    """Whether a rule is for this question: one that explains a term, if the question has a word
    of that term; any other always. A small model is confused by what it does not need."""
    match = _DEFINES.match(rule.strip())
    if match is None:
        return True
    term = set(normal(match[1]).split())
    return bool(term & set(normal(question).split()))


def memory_path() -> Path:
    """Where the file lies: the user's directory for data, or the one that SQLCODER_MAGIC_DATA
    names."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser() / "memory.sqlite"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = os.environ.get("XDG_DATA_HOME") or "~/Library/Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "sqlcoder_magic" / "memory.sqlite"


class Memory:
    """The file. Opened for each call alone, so that several notebooks can share it.

    Every method raises MemoryFileError where the file cannot be used; `notes` says what else
    happened to it, once.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or memory_path()
        self._notes: list[str] = []

    def notes(self) -> tuple[str, ...]:
        """What was noticed since the last call, a sentence each."""
        said, self._notes = tuple(self._notes), []
        return said

    def taught(self, database: str, asked: Question) -> Taught:
        """Never raises: an answer does not hang on the memory, whose trouble is a note.

        A follow-up, or a question with instructions of its own, is another question than its
        text, and recalls nothing.
        """
        try:
            known = None
            if not asked.history and not asked.instructions:
                known = self.recall(database, asked.text)
            rules = [one.text for one in self.rules(database) if concerns(one.text, asked.text)]
        except MemoryFileError as error:
            return Taught(asked, notes=(error.message,))
        notes = self.notes()
        if rules:
            lines = [line for line in (asked.instructions, *rules) if line]
            asked = replace(asked, instructions="\n".join(lines))
            if known is None:
                notes += ("By your rules: " + "; ".join(rules) + ".",)
        return Taught(asked, known, notes)

    # ------------------------------------------------------------ questions

    def remember(self, database: str, question: str, sql: str) -> None:
        """Keep this SQL for this question, in place of any for a nearly equal one."""
        question = _storable(" ".join(question.split()))
        sql = _storable(sql).strip().rstrip(";").strip()
        _refuse_secret(question, sql)
        with self._open() as connection:
            connection.execute(
                "INSERT INTO golden (database, normal, question, sql, at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (database, normal) DO UPDATE SET question = excluded.question, "
                "sql = excluded.sql, at = excluded.at",
                (database, normal(question), question, sql, time.time()),
            )

    def recall(self, database: str, question: str) -> Golden | None:
        """What is remembered for this question, or one that is nearly equal."""
        if not self.path.exists():
            return None
        with self._open() as connection:
            row = connection.execute(
                "SELECT id, question, sql FROM golden WHERE database = ? AND normal = ?",
                (database, normal(question)),
            ).fetchone()
        return Golden(*row) if row else None

    def golden(self, database: str) -> tuple[Golden, ...]:
        """All that is remembered for a database, the oldest first."""
        if not self.path.exists():
            return ()
        with self._open() as connection:
            rows = connection.execute(
                "SELECT id, question, sql FROM golden WHERE database = ? ORDER BY id", (database,)
            ).fetchall()
        return tuple(Golden(*row) for row in rows)

    # ------------------------------------------------------------ rules

    def instruct(self, database: str, text: str) -> None:
        """Keep a rule; one that is there already is not kept twice."""
        text = _storable(" ".join(text.split()))
        _refuse_secret(text)
        with self._open() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO rules (database, text, at) VALUES (?, ?, ?)",
                (database, text, time.time()),
            )

    def rules(self, database: str) -> tuple[Rule, ...]:
        """Every rule for a database, the oldest first."""
        if not self.path.exists():
            return ()
        with self._open() as connection:
            rows = connection.execute(
                "SELECT id, text FROM rules WHERE database = ? ORDER BY id", (database,)
            ).fetchall()
        return tuple(Rule(*row) for row in rows)

    # ------------------------------------------------------------ history

    def note_asked(self, database: str, question: str, sql: str) -> None:
        """Add to the history, secrets taken out; the oldest beyond the cap go."""
        with self._open() as connection:
            connection.execute(
                "INSERT INTO asked (database, question, sql, at) VALUES (?, ?, ?, ?)",
                (
                    database,
                    _storable(redact(" ".join(question.split())[:TEXT_CAP])),
                    _storable(redact(sql.strip()[:TEXT_CAP])),
                    time.time(),
                ),
            )
            connection.execute(
                "DELETE FROM asked WHERE database = ? AND id NOT IN "
                "(SELECT id FROM asked WHERE database = ? ORDER BY id DESC LIMIT ?)",
                (database, database, HISTORY_CAP),
            )

    def history(self, database: str, limit: int = 20) -> tuple[Asked, ...]:
        """The last questions about a database, the oldest of them first."""
        if not self.path.exists():
            return ()
        with self._open() as connection:
            rows = connection.execute(
                "SELECT question, sql, at FROM asked WHERE database = ? ORDER BY id DESC LIMIT ?",
                (database, limit),
            ).fetchall()
        return tuple(Asked(*row) for row in reversed(rows))

    # ------------------------------------------------------------ forgetting

    def forget(self, database: str, kind: str, number: int | None = None) -> int:
        """Drop one of `kind` ("golden", "rules", "asked") by number, or all; how many went."""
        if kind not in _TABLES:
            raise ValueError(kind)
        if not self.path.exists():
            return 0
        which, values = ("", (database,)) if number is None else (" AND id = ?", (database, number))
        with self._open() as connection:
            cursor = connection.execute(
                f"DELETE FROM {kind} WHERE database = ?{which}",  # one of _TABLES
                values,
            )
            return cursor.rowcount

    # ------------------------------------------------------------ the file

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction, committed at the end."""
        try:
            with closing(self._connected()) as connection, connection:
                yield connection
        except (sqlite3.Error, OSError) as error:
            problem = MemoryFileError(
                f"The memory file {self.path} cannot be used: {error}.",
                fix=f"Check its permissions and the disk, name another directory with {VARIABLE}, "
                "or do without: %config NL2SQL.memory = False.",
            )
        else:
            return
        raise problem

    def _connected(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = self._damage() if self.path.exists() else ""
        if reason:
            self._set_aside(reason)
        # Made with its mode before SQLite writes to it; widened by nobody since.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        if os.name == "posix":
            self.path.chmod(0o600)
        connection = sqlite3.connect(self.path, timeout=_BUSY_S)
        connection.execute("PRAGMA secure_delete = ON")  # what is forgotten leaves the file too
        if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            with connection:
                connection.executescript(
                    f"BEGIN EXCLUSIVE;{_CREATE}PRAGMA user_version = {_VERSION};COMMIT;"
                )
        return connection

    def _damage(self) -> str:
        """Why the file cannot be gone on with; empty if it can."""
        if self.path.stat().st_size == 0:
            return ""
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as connection:
                if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    return "was damaged"
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                for table, columns in _TABLES.items():
                    found = connection.execute(f"PRAGMA table_info({table})").fetchall()
                    if version != _VERSION or tuple(row[1] for row in found) != columns:
                        return "was not made by this version"
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in _DAMAGED:
                return "was damaged"
            raise
        return ""

    def _set_aside(self, reason: str) -> None:
        """Rename the file to a name that is free, and say so."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside, number = self.path.with_name(f"memory.damaged-{stamp}.sqlite"), 2
        while aside.exists():
            aside = self.path.with_name(f"memory.damaged-{stamp}-{number}.sqlite")
            number += 1
        for suffix in ("-journal", "-wal", "-shm"):  # of a crash; without its file it says nothing
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.path.rename(aside)
        self._notes.append(
            f"The memory file {reason}: it is kept as {aside}, and a new one was begun."
        )


def _refuse_secret(*texts: str) -> None:
    for text in texts:
        if redact(text) != text:
            raise MemoryFileError(
                "This looks as if it held a password, a token or a key; it was not kept.",
                fix="Ask and write it without the secret.",
            )
        if len(text) > TEXT_CAP:
            raise MemoryFileError(
                f"This is {len(text):,} characters long; it was not kept.",
                fix=f"At most {TEXT_CAP:,} are.",
            )
