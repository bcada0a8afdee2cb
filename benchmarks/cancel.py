"""Ctrl-C to a cancelled query, on each engine: seconds until it is gone on the server.

    python benchmarks/cancel.py [--rounds 5] [sqlite duckdb postgres mariadb]

A query of hours runs under guard; a second later this process sends itself SIGINT. `back` is the
time until `run_sql` has given the prompt back, `gone` until the server says that the query is over
(its own list of sessions, asked every 5 ms on a second connection; SQLite and DuckDB run in
this process, where nothing is left once the call is back and the connection answers). Medians and
the slowest. The servers are throwaway ones. Goal: under one second each.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).absolute().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from servers import running_mariadb, running_postgres  # noqa: E402
from sqlalchemy import create_engine, make_url  # noqa: E402

from sqlcoder_magic.errors import Stopped  # noqa: E402
from sqlcoder_magic.execute import run_sql  # noqa: E402
from sqlcoder_magic.types import _SEAL, CheckedSQL  # noqa: E402

# What is run, and whether the server still runs it.
Scene = tuple[str, str, Any, Callable[[], bool]]
_WARM_S = 1.0


@contextmanager
def sqlite() -> Iterator[Scene]:
    """In this process."""
    engine = create_engine("sqlite://")
    sql = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    yield "sqlite", sql, engine, lambda: False
    engine.dispose()


@contextmanager
def duckdb() -> Iterator[Scene]:
    """In this process."""
    import duckdb

    with duckdb.connect() as native:
        sql = "SELECT count(*) FROM range(1000000000000) a WHERE a.range % 7 = 3"

        def runs() -> bool:
            return native.execute("SELECT 1").fetchone() != (1,)

        yield "duckdb", sql, native, runs


@contextmanager
def postgres() -> Iterator[Scene]:
    """A server of its own."""
    with running_postgres() as url:
        engine = create_engine(url)
        with create_engine(url, isolation_level="AUTOCOMMIT").connect() as other:

            def runs() -> bool:
                rows = other.exec_driver_sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
                    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
                return bool(rows.scalar())

            sql = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 99) b"
            yield "postgres", sql, engine, runs
        engine.dispose()


@contextmanager
def mariadb() -> Iterator[Scene]:
    """A server of its own."""
    with running_mariadb() as url:
        engine = create_engine(make_url(url).set(database="mysql"))
        with create_engine(url, isolation_level="AUTOCOMMIT").connect() as other:

            def runs() -> bool:
                rows = other.exec_driver_sql(
                    "SELECT count(*) FROM information_schema.processlist WHERE command = 'Query' "
                    "AND info LIKE 'SELECT count(*) FROM seq_%%'"
                )
                return bool(rows.scalar())

            sql = "SELECT count(*) FROM seq_1_to_1000000000 a, seq_1_to_99 b WHERE a.seq %% 7 = 3"
            yield "mysql", sql.replace("%%", "%"), engine, runs
        engine.dispose()


ENGINES = {"sqlite": sqlite, "duckdb": duckdb, "postgres": postgres, "mariadb": mariadb}


def once(scene: Scene) -> tuple[float, float]:
    """Seconds from SIGINT until the call is back, and until the server is rid of the query."""
    dialect, sql, target, runs = scene
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(_WARM_S, press)
    timer.start()
    try:
        run_sql(CheckedSQL(sql, dialect, (), seal=_SEAL), target, timeout_s=120)
        raise RuntimeError("the query ended by itself")
    except Stopped:
        back = time.perf_counter() - pressed[0]
    while runs():
        time.sleep(0.005)
    return back, time.perf_counter() - pressed[0]


def main() -> None:
    """Measure each engine, and print a line for each."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("engines", nargs="*", default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{'engine':>9} {'back':>8} {'gone':>8} {'slowest':>8}  (seconds)")
    for name in options.engines:
        with ENGINES[name]() as scene:
            times = [once(scene) for _ in range(options.rounds)]
        backs, gones = zip(*times, strict=True)
        medians = f"{statistics.median(backs):8.3f} {statistics.median(gones):8.3f}"
        print(f"{name:>9} {medians} {max(gones):8.3f}", flush=True)


if __name__ == "__main__":
    main()
