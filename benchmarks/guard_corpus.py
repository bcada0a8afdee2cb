"""The hostile statements and the everyday ones on real engines, with the guard off and on.

    python benchmarks/guard_corpus.py [sqlite duckdb postgres mysql]

For each engine: how many hostile statements change something when nothing guards, how many run
all the same (they read what they must not, or hold the engine up), how many the engine itself
refuses; how many get through `check_sql`, and what gets through the database's own lock when the
check is left out (a forged `CheckedSQL`). "Changed" is told by a hash over rows, tables, roles,
files, settings, locks and the open transaction, before and after each
(`tests/playground.py`). Everything happens in throwaway engines, started and removed here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).absolute().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "check")]

from check_shop import good_statements, hostile_statements, shop  # noqa: E402
from playground import ENGINES, Playground, needs_network  # noqa: E402

from sqlcoder_magic.check import check_sql  # noqa: E402
from sqlcoder_magic.errors import SQLRejected  # noqa: E402
from sqlcoder_magic.execute import run_sql  # noqa: E402
from sqlcoder_magic.types import _SEAL, CheckedSQL  # noqa: E402

TIME_LIMIT_S = 0.25  # for a hostile statement
EVERYDAY_LIMIT_S = 30.0


@dataclass
class Tally:
    """How many statements ended in which way, and which ones did in the ways that matter."""

    changed: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return len(self.changed) + len(self.ran) + len(self.refused)


def tally(play: Playground, statements: Iterable[str], attempt: Callable[[str], Any]) -> Tally:
    """Attempt each statement between two fingerprints; what changed something is undone."""
    found = Tally()
    before = play.fingerprint()
    for sql in statements:
        try:
            attempt(sql)
            ended = found.ran
        except Exception as error:  # noqa: BLE001 (each engine has its own kinds)
            ended = found.ran if play.was_stopped(error) else found.refused
        after = play.fingerprint_or_gone()
        if after != before:
            ended = found.changed
            play.renew()
            before = play.fingerprint()
        ended.append(sql)
    return found


def guard_off(play: Playground) -> Callable[[str], Any]:
    """As a user's own connection would run it."""
    return lambda sql: play.run(play.prepared(sql))


def guard_on(play: Playground, seconds: float = TIME_LIMIT_S) -> Callable[[str], Any]:
    """As this package runs it."""
    schema = shop(play.dialect)

    def attempt(sql: str) -> Any:
        checked = check_sql(play.prepared(sql), schema)
        return run_sql(checked, play.target, timeout_s=seconds, row_limit=100)

    return attempt


def lock_alone(play: Playground) -> Callable[[str], Any]:
    """The first layer left out: a seal that nobody may make, on a text that nobody checked."""
    tables = tuple(table.full_name for table in shop(play.dialect).tables)

    def attempt(sql: str) -> Any:
        forged = CheckedSQL(play.prepared(sql), play.dialect, tables, seal=_SEAL)
        with chdir(play.files):
            return run_sql(forged, play.target, timeout_s=TIME_LIMIT_S, row_limit=100)

    return attempt


def hostile(dialect: str) -> list[str]:
    """The corpus for one engine, without what needs a network."""
    return [sql for of, _, sql in hostile_statements() if of == dialect and not needs_network(sql)]


def refused_by_check(dialect: str) -> tuple[int, int]:
    """Statements of the whole corpus that the check refuses, and how many there are."""
    schema, refused, tried = shop(dialect), 0, 0
    for of, _, sql in hostile_statements():
        if of == dialect:
            tried += 1
            try:
                check_sql(sql, schema)
            except SQLRejected:
                refused += 1
    return refused, tried


def main(names: list[str]) -> None:
    """Tour the engines, a paragraph each."""
    for name in names or list(ENGINES):
        start = time.monotonic()
        with ENGINES[name]() as play:
            statements = hostile(play.dialect)
            refused, tried = refused_by_check(play.dialect)
            off = tally(play, statements, guard_off(play))
            on = tally(play, statements, guard_on(play))
            lock = tally(play, statements, lock_alone(play))
            benign = tally(play, good_statements(play.dialect), guard_on(play, EVERYDAY_LIMIT_S))
        print(f"{play.label}, {time.monotonic() - start:.0f} s")
        print(f"  check_sql refuses {refused} of {tried} hostile statements")
        for title, one in (("guard off", off), ("guard on", on), ("engine's lock alone", lock)):
            print(
                f"  {title}: {one.tried} tried, {len(one.changed)} changed something, "
                f"{len(one.ran)} ran, {len(one.refused)} refused"
            )
        for sql in lock.changed:
            print(f"    the lock alone lets through: {sql}")
        print(
            f"  everyday: {benign.tried} tried, {len(benign.ran)} accepted and run, "
            f"{len(benign.refused)} refused, {len(benign.changed)} changed something"
        )
        for sql in benign.refused:
            print(f"    refused: {sql}")


if __name__ == "__main__":
    main(sys.argv[1:])
