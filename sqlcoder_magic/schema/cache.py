"""What was read, kept for each connection until it changes.

The key is the user's own object (Engine, Connection, DuckDB connection), held weakly: when it
goes, so does what was read through it. Not covered: keeping a schema on disk (`disk`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from sqlcoder_magic.connection import Database
from sqlcoder_magic.types import Column, Schema

WITHOUT_FINGERPRINT_S = 300.0  # how long a schema is believed where changes cannot be noticed


@dataclass
class Entry:
    """A schema, the fingerprint that the catalogue had then, and the samples read since.

    `glance` is what a quick look saw then, which tells without a fingerprint that nothing can
    have changed; None where there is no such look.
    """

    schema: Schema
    fingerprint: str | None
    glance: Any = None
    read_at: float = field(default_factory=time.monotonic)
    samples: dict[tuple[int, str], tuple[Column, ...]] = field(default_factory=dict)

    @property
    def age_s(self) -> float:
        """Seconds since the schema was read."""
        return time.monotonic() - self.read_at

    def is_current(self, fingerprint: str | None) -> bool:
        """True if the catalogue has not changed, as far as its engine can tell."""
        if fingerprint is None:
            return self.fingerprint is None and self.age_s < WITHOUT_FINGERPRINT_S
        return fingerprint == self.fingerprint


_entries: WeakKeyDictionary[object, Entry] = WeakKeyDictionary()
_lock = threading.Lock()


def get(database: Database) -> Entry | None:
    """What is kept for this connection."""
    with _lock:
        return _entries.get(database.source)


def put(database: Database, entry: Entry) -> None:
    """Keep what was just read."""
    with _lock:
        _entries[database.source] = entry


def drop(database: Database | None) -> None:
    """Forget one connection, or all of them."""
    with _lock:
        if database is None:
            _entries.clear()
        else:
            _entries.pop(database.source, None)
