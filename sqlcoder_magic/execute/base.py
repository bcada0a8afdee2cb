"""What a guard is: the few calls that every engine's module answers, and what they share.

Not here: any engine's SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Protocol

from sqlcoder_magic.errors import EngineNotGuardedError

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
# A pattern for what may stand before a statement's first word.
COMMENTS = r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"


@dataclass(frozen=True)
class Limits:
    """How much a run may take: rows, bytes of values, seconds, and bytes that BigQuery bills."""

    rows: int
    bytes: int
    seconds: float
    billed: int = 10 * 2**30

    @property
    def milliseconds(self) -> int:
        """The time limit as the servers want it: whole, and never 0, which would mean none."""
        return max(1, int(self.seconds * 1000))


@dataclass(frozen=True)
class Failure:
    """A driver's error, read: its text, and whether it means time is up or the server is gone."""

    text: str
    timeout: bool = False
    lost: bool = False
    fix: str = ""


class Guard(Protocol):
    """One run on one session. The calls come in this order, `cancel` from any thread.

    `threaded`: the driver's calls may block a Ctrl-C, so they are made in a thread of their
    own. `errors`: what the driver raises. `columns`: the names, known after the first fetch.
    """

    threaded: bool
    errors: tuple[type[Exception], ...]
    columns: tuple[str, ...]

    def begin(self) -> None:
        """Make the session read-only and limited, and prove that a write is refused.

        Raises EngineNotGuardedError if it cannot be proved.
        """

    def execute(self, sql: str) -> None:
        """Send the text, byte for byte."""

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """At most `count` more rows; none at the end."""

    def cancel(self) -> None:
        """Stop what is running, now; nothing if nothing runs."""

    def restore(self) -> None:
        """Put back everything that `begin` changed, wherever it got to."""

    def failure(self, error: Exception) -> Failure:
        """What the driver's error says, without this package's own SQL in it."""


def not_guarded(engine: str, reason: str, fix: str = "") -> EngineNotGuardedError:
    """The SQL is shown, not run; `reason` completes 'because …'."""
    return EngineNotGuardedError(
        f"The SQL is shown, not run: {engine} is not guarded here, because {reason}.",
        fix=fix or "Read it, and if it is right run it yourself in a `%%sql` cell.",
    )


def unproven(engine: str, what: str) -> EngineNotGuardedError:
    """The preflight failed: a write (`what`) was not refused."""
    return not_guarded(
        engine, f"this connection did not refuse {what} although it was made read-only"
    )


def lowered(name: str) -> str:
    """The name with A to Z in lower case: beyond them "Ärger" and "ärger" are two tables."""
    return name.translate(_LOWER)


def spellings(tables: Iterable[str]) -> frozenset[str]:
    """Lower-case names under which an engine may report these tables: whole, and the last part."""
    names = {lowered(name) for name in tables}
    return frozenset(names | {name.rsplit(".", 1)[-1] for name in names})
