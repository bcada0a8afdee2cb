"""Rows in batches, until there are no more or a limit is reached.

A batch is small enough that memory stays near the byte limit even where single rows are large;
the estimate counts what Python holds (`sys.getsizeof`), containers included. A single value
arrives whole before it can be counted: bounding it is the engine's part.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from threading import Event
from typing import Any

from sqlcoder_magic.errors import Stopped
from sqlcoder_magic.execute.base import Guard, Limits

_FIRST_BATCH = 16
_LARGEST_BATCH = 2000


@dataclass(frozen=True)
class Rows:
    """What was fetched. `cut` is "" if it is everything, else which limit cut it: rows, bytes."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    cut: str = ""


def collect(guard: Guard, limits: Limits, stop: Event) -> Rows:
    """Fetch until the end, `limits`, or `stop` is set (then Stopped: someone cancelled)."""
    rows: list[tuple[Any, ...]] = []
    used, batch = 0, _FIRST_BATCH
    while not stop.is_set():
        part = guard.fetch(min(batch, limits.rows + 1 - len(rows)))
        if not part:
            return Rows(guard.columns, rows)
        for row in part:
            used += size_of(row)
            if used > limits.bytes:
                return Rows(guard.columns, rows, cut="bytes")
            rows.append(row)
        if len(rows) > limits.rows:
            rows.pop()
            return Rows(guard.columns, rows, cut="rows")
        # A batch may hold a sixteenth of the byte limit, as far as the rows so far tell.
        fitting = limits.bytes // 16 * len(rows) // used
        batch = max(1, min(batch * 4, fitting, _LARGEST_BATCH))
    raise Stopped("The query was stopped.")


def size_of(value: Any) -> int:
    """Bytes that a value takes in memory, with what it contains."""
    size = sys.getsizeof(value)
    if isinstance(value, list | tuple | set):
        return size + sum(size_of(item) for item in value)
    if isinstance(value, dict):
        return size + sum(size_of(key) + size_of(item) for key, item in value.items())
    if isinstance(value, memoryview):
        return size + value.nbytes
    return size
