"""Interrupting the kernel while it loads, writes or queries: it stops soon and stays usable.

The bundled model answers here, in a kernel that has loaded nothing before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kernel_helpers import Kernel, Reply, started_kernel

SOON_S = 5  # a second is the goal; a busy machine may take longer
ENDLESS = "SELECT COUNT(*) FROM {0} a CROSS JOIN {0} b CROSS JOIN {0} c CROSS JOIN {0} d"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with started_kernel() as kernel:
        assert kernel.run("%load_ext sqlcoder_magic\n%sqlcoder connect sample").ok
        yield kernel


def shows(*words: str) -> Any:
    """True for a message that displays one of `words`."""

    def check(message: dict[str, Any]) -> bool:
        data = message["content"].get("data", {})
        return any(word in str(data.get("text/plain", "")) for word in words)

    return check


def assert_stopped(reply: Reply, sentence: str) -> None:
    assert not reply.ok
    assert sentence in reply.error[0]
    assert "Traceback" not in "\n".join(reply.error)
    assert reply.seconds_to_stop < SOON_S


def test_while_loading_then_writing_then_done(kernel: Kernel) -> None:
    stopped = kernel.run("%sqlcoder load", until=shows("importing", "loading"))
    assert_stopped(stopped, "Stopped loading sqlcoder-tiny.")
    assert "loading" not in stopped.shown()  # no bar is left that goes on no more
    assert "none loaded" in kernel.run("%sqlcoder status").stdout

    long = "%%nl2sql -o lost\nFor each salesperson, give the name and the total quantity sold."
    stopped = kernel.run(long, until=shows("SELECT"))
    assert_stopped(stopped, "Stopped while the model was writing.")
    assert stopped.shown().startswith("SELECT") and "…" not in stopped.shown()
    assert kernel.value("'lost' in globals()") is False

    asked = kernel.run("%%nl2sql -o chicago\nHow many customers live in Chicago?")
    assert asked.ok, asked.error
    assert kernel.value("chicago.shape") == [1, 1]
    assert asked.cells[0].startswith("%%sql\n-- How many customers live in Chicago?\nSELECT")


def stop_query(kernel: Kernel, where: str, table: str) -> None:
    """Run a query of hours over `where`, interrupt it, and ask again."""
    kernel.use_fake_model()
    kernel.model_says(ENDLESS.format(table), f"SELECT COUNT(*) AS n FROM {table}")
    stopped = kernel.run(
        f"%%nl2sql -o lost --timeout 300 -c {where}\nEverything", until=shows("running"), pause_s=1
    )
    assert_stopped(stopped, "Stopped")
    assert "CROSS JOIN" in stopped.shown()  # the work is not lost
    asked = kernel.run(f"%%nl2sql -o counted -c {where}\nHow many?")
    assert asked.ok, asked.error
    assert kernel.value("int(counted['n'][0]) > 1000") is True


def test_while_sqlite_works(kernel: Kernel) -> None:
    stop_query(kernel, "sample", "sales")


def test_while_duckdb_works(kernel: Kernel) -> None:
    kernel.run(
        "import duckdb\nducks = duckdb.connect()\n"
        "_ = ducks.execute('CREATE TABLE numbers AS SELECT range AS i FROM range(20000)')"
    )
    stop_query(kernel, "ducks", "numbers")
    assert kernel.value("ducks.execute('SELECT 1').fetchall()") == [[1]]


def test_while_postgres_works(kernel: Kernel, postgres_url: str) -> None:
    kernel.run(
        f"from sqlalchemy import create_engine, text\nserver = create_engine({postgres_url!r})\n"
        "with server.begin() as filling:\n"
        "    make = 'CREATE TABLE numbers AS SELECT * FROM generate_series(1, 20000)'\n"
        "    filling.execute(text(make))"
    )
    stop_query(kernel, "server", "numbers")
    running = (
        'server.connect().execute(text("SELECT COUNT(*) FROM pg_stat_activity '
        "WHERE state = 'active' AND query LIKE '%CROSS%' AND pid <> pg_backend_pid()\")).scalar()"
    )
    assert kernel.value(running) == 0
    kernel.run("server.dispose()")
