"""Whatever connection the notebook already has is used as it is, without a second login.

The new cell must run on the very same connection: in-memory databases, which only one
connection can see, prove it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel_helpers import Kernel, started_kernel

ROWS = (
    "CREATE TABLE pets (id INTEGER PRIMARY KEY, name TEXT); "
    "INSERT INTO pets VALUES (1, 'Ada'), (2, 'Bo')"
)
NAMES = "SELECT name FROM pets ORDER BY id"


@pytest.fixture(scope="module")
def started() -> Iterator[Kernel]:
    with started_kernel() as kernel:
        assert kernel.run("%load_ext sqlcoder_magic\nfrom sqlcoder_magic import cells").ok
        kernel.use_fake_model()
        yield kernel


@pytest.fixture
def kernel(started: Kernel) -> Kernel:
    """The kernel without any connection, and with an empty fake model."""
    code = """
from sqlcoder_magic import cells, connection
manager = cells.load_jupysql(get_ipython())
manager.connections.clear()
manager.current = None
connection._engines.clear()
cells.forget_cells()
"""
    done = started.run(code)
    assert done.ok, done.error
    started.use_fake_model()
    return started


def pets_engine(kernel: Kernel, name: str = "engine") -> None:
    """Make an in-memory SQLite database with the table `pets`, known to nobody but `name`."""
    code = f"""
from sqlalchemy import create_engine, event, text
from sqlalchemy.pool import StaticPool
logins = []
{name} = create_engine("sqlite://", poolclass=StaticPool)
event.listen({name}, "connect", lambda *_: logins.append(1))
with {name}.begin() as filling:
    for statement in {ROWS!r}.split("; "):
        filling.execute(text(statement))
"""
    done = kernel.run(code)
    assert done.ok, done.error


def ask_and_run_cell(kernel: Kernel, options: str, sql: str = NAMES) -> str:
    """Ask for the pets with `options`, run the new cell; the new cell's first line."""
    kernel.model_says(sql)
    asked = kernel.run(f"%%nl2sql -o pets {options}\\nWhich pets are there?".replace("\\n", "\n"))
    assert asked.ok, asked.error
    assert kernel.value("pets['name'].tolist()") == ["Ada", "Bo"]
    ran = kernel.run(asked.cells[0])
    assert ran.ok and "Ada" in ran.shown(), (ran.error, ran.stdout)
    return asked.cells[0].splitlines()[0]


def test_without_a_connection_the_model_is_not_asked(kernel: Kernel) -> None:
    failed = kernel.run("%%nl2sql\nHow many pets are there?")
    assert failed.error[0] == "No database connection."
    assert "%sqlcoder connect sample" in failed.error[1]
    assert kernel.value("len(fake.prompts)") == 0


def test_jupysqls_current_connection(kernel: Kernel) -> None:
    pets_engine(kernel)
    kernel.run("%sql engine")
    logins = kernel.value("len(logins)")
    assert ask_and_run_cell(kernel, "") == "%%sql"
    assert kernel.value("len(logins)") == logins
    assert kernel.value("len(manager.connections)") == 1
    assert kernel.value("len(connection._engines)") == 0  # nobody connected a second time


def test_a_file_that_jupysql_opened(kernel: Kernel) -> None:
    """jupysql made this engine from a URL; no second one is made from it."""
    opened = kernel.run(
        "from sqlcoder_magic.sample import sample_path\n"
        "get_ipython().run_line_magic('sql', f'sqlite:///{sample_path()}')"
    )
    assert opened.ok, opened.error
    kernel.model_says("SELECT COUNT(*) AS n FROM customers")
    asked = kernel.run("%%nl2sql -o counted\nHow many customers?")
    assert asked.cells[0].startswith("%%sql\n")
    assert kernel.value("counted['n'].tolist()") == [300]
    assert kernel.value("len(connection._engines)") == 0


def test_an_alias_of_jupysql(kernel: Kernel) -> None:
    pets_engine(kernel)
    kernel.run("%sql engine --alias zoo")
    kernel.run("%sqlcoder connect sample")
    current = kernel.value("manager.current.alias")
    assert ask_and_run_cell(kernel, "-c zoo") == "%%sql zoo"
    assert kernel.value("len(manager.connections)") == 2
    # Running `%%sql zoo` makes zoo current, as jupysql does; asking alone did not.
    kernel.run(f"%sql {current}")
    kernel.model_says(NAMES)
    kernel.run("%%nl2sql -c zoo\nWhich pets?")
    assert kernel.value("manager.current.alias") == current


def test_an_engine_in_a_variable(kernel: Kernel) -> None:
    pets_engine(kernel, "zoo_engine")
    assert ask_and_run_cell(kernel, "-c zoo_engine") == "%%sql"  # there was no other connection
    assert kernel.value("len(connection._engines)") == 0
    kernel.run("%sqlcoder connect sample")
    assert ask_and_run_cell(kernel, "-c zoo_engine").startswith("%%sql ")


def test_a_connection_in_a_variable_keeps_its_transaction(kernel: Kernel) -> None:
    pets_engine(kernel)
    kernel.run("mine = engine.connect()\nbegun = mine.begin()")
    kernel.run("_ = mine.execute(text(\"INSERT INTO pets VALUES (3, 'Cy')\"))")
    kernel.model_says(NAMES)
    asked = kernel.run("%%nl2sql -o pets --no-cell -c mine\nWhich pets?")
    assert asked.ok, asked.error
    assert kernel.value("pets['name'].tolist()") == ["Ada", "Bo", "Cy"]
    assert kernel.value("begun.is_active") is True
    kernel.run("begun.rollback()\nmine.close()")


def test_a_native_duckdb_connection_in_a_variable(kernel: Kernel) -> None:
    kernel.run(f"import duckdb\nducks = duckdb.connect()\n_ = ducks.execute({ROWS!r})")
    assert ask_and_run_cell(kernel, "-c ducks") == "%%sql"


def test_a_native_duckdb_connection_of_jupysql(kernel: Kernel) -> None:
    kernel.run(f"import duckdb\nducks = duckdb.connect()\n_ = ducks.execute({ROWS!r})")
    assert kernel.run("%sql ducks --alias pond").ok
    assert ask_and_run_cell(kernel, "") == "%%sql"
    assert ask_and_run_cell(kernel, "-c pond") == "%%sql"


def test_a_variable_that_is_no_connection(kernel: Kernel) -> None:
    kernel.run("number = 5")
    failed = kernel.run("%%nl2sql -c number\nWhich pets?")
    assert "int is not a database connection" in failed.error[0]
