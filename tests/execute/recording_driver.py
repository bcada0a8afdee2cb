"""A DB-API driver that records what it is handed, and SQLAlchemy dialects on top of it.

It stands for drivers of servers that no test can start. `Recorder.replies` says what a statement
answers: rows, an error to raise, or a function to call.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect

Reply = list[tuple[Any, ...]] | Exception | Callable[[], list[tuple[Any, ...]]]


class Error(Exception):
    """What this driver raises."""


@dataclass
class Recorder:
    """All that reached the driver, in order, and what it answers (patterns, first match)."""

    log: list[tuple[str, Any]] = field(default_factory=list)
    replies: list[tuple[str, Reply]] = field(default_factory=list)
    opened: int = 0
    cancelled: Callable[[], None] | None = None

    @property
    def sent(self) -> list[str]:
        """The statements alone."""
        return [what for kind, what in self.log if kind == "execute"]

    def of(self, kind: str) -> list[Any]:
        """What was recorded of one kind."""
        return [what for known, what in self.log if known == kind]

    def reply(self, sql: str) -> list[tuple[Any, ...]]:
        self.log.append(("execute", sql))
        found = next((reply for pattern, reply in self.replies if re.search(pattern, sql)), [])
        if isinstance(found, Exception):
            raise found
        return found() if callable(found) else found

    def cancel(self, what: str) -> None:
        self.log.append(("cancel", what))
        if self.cancelled is not None:
            self.cancelled()


class Cursor:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._rows: list[tuple[Any, ...]] = []
        self.description: list[tuple[Any, ...]] | None = None

    def execute(self, sql: str) -> None:
        self._rows = list(self._recorder.reply(sql))
        width = len(self._rows[0]) if self._rows else 0
        self.description = [(f"c{i}", None, None, None, None, None, None) for i in range(width)]

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        part, self._rows = self._rows[:count], self._rows[count:]
        return part

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.fetchmany(len(self._rows))

    def cancel(self) -> None:
        self._recorder.cancel("cursor")

    def close(self) -> None:
        pass


class Connection:
    recorder: Recorder

    def __setattr__(self, name: str, value: Any) -> None:
        self.recorder.log.append(("set", (name, value)))

    def cursor(self) -> Cursor:
        return Cursor(self.recorder)

    def cancel(self) -> None:
        self.recorder.cancel("connection")

    def commit(self) -> None:
        self.recorder.log.append(("commit", None))

    def rollback(self) -> None:
        pass

    def close(self) -> None:
        self.recorder.log.append(("close", None))


class Recording(DefaultDialect):
    """A dialect that asks its connection nothing."""

    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        return SimpleNamespace(paramstyle="qmark", Error=Error)

    def do_ping(self, dbapi_connection: Any) -> bool:
        return True


class Snowflake(Recording):
    name = "snowflake"


class BigQuery(Recording):
    name = "bigquery"


class SQLServer(Recording):
    name = "mssql"


class Oracle(Recording):
    name = "oracle"


class Trino(Recording):
    name = "trino"


class Spark(Recording):
    name = "hive"


class Redshift(Recording):
    name = "redshift"


class Databricks(Recording):
    name = "databricks"


DIALECTS = (Snowflake, BigQuery, SQLServer, Oracle, Trino, Spark, Redshift, Databricks)
for dialect in DIALECTS:
    registry.register(f"recording_{dialect.name}", "recording_driver", dialect.__name__)


def recording_engine(name: str, recorder: Recorder, driver: str, **options: Any) -> Engine:
    """An engine whose connections look as if the module `driver` had made them."""
    made = type("Connection", (Connection,), {"recorder": recorder, "__module__": f"{driver}.x"})

    def connect() -> Connection:
        recorder.opened += 1
        connection: Connection = made()
        return connection

    url = f"recording_{name}://app:hunter2@host/warehouse"
    return create_engine(url, creator=connect, **options)
