"""Throwaway engines with the shop in them, on which hostile SQL may do what it likes.

Each `Playground` runs text with no guard at all (`run`), is something that `run_sql` takes
(`target`), and tells by `fingerprint` whether anything is not as it was: rows, tables, views,
roles, files beside it, settings of the server and of the session, locks, an open transaction.
`renew` makes it new after a harm. Tests and `benchmarks/guard_corpus.py` share this file.

Changed in a hostile text before it runs here: `/tmp/` becomes a directory of the playground, and
lengths of a gigabyte become a megabyte. What needs a network is not run (`needs_network`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from playground_base import LEAKS, Playground, needs_network
from playground_files import DuckDBPlay, SQLitePlay
from playground_servers import MariaDBPlay, PostgresPlay
from servers import running_postgres

from check_shop import TABLES, shop  # isort: skip (its path is set by playground_base)

__all__ = ["ENGINES", "LEAKS", "TABLES", "Playground", "PostgresPlay"]
__all__ += ["closing", "needs_network", "shop"]


@contextmanager
def closing(play: Playground) -> Iterator[Playground]:
    """The playground, closed at the end."""
    try:
        yield play
    finally:
        play.close()


@contextmanager
def postgres_play() -> Iterator[Playground]:
    """A PostgreSQL server of its own, which takes two seconds."""
    with running_postgres() as url, closing(PostgresPlay(url)) as play:
        yield play


@contextmanager
def mariadb_play() -> Iterator[Playground]:
    """A MariaDB server of its own, which takes four seconds."""
    with closing(MariaDBPlay()) as play:
        yield play


ENGINES: dict[str, Callable[[], AbstractContextManager[Playground]]] = {
    "sqlite": lambda: closing(SQLitePlay()),
    "duckdb": lambda: closing(DuckDBPlay()),
    "postgres": postgres_play,
    "mariadb": mariadb_play,
}
