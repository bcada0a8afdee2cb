"""DataFrames and files asked from a notebook: `--frames a,b` and `%sqlcoder connect data/*.csv`.

The inserted cell must run by jupysql, on the very tables that the question was asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_helpers import Kernel, started_kernel

FRAMES = """
import pandas as pd
orders = pd.DataFrame({"id": [1, 2, 3], "customer_id": [1, 1, 2], "amount": [5.0, 6.0, 7.5]})
customers = pd.DataFrame({"id": [1, 2], "name": ["Ada", "Bo"]})
number = 5
"""
TOTALS = (
    "SELECT c.name, SUM(o.amount) AS total FROM orders o "
    "JOIN customers c ON o.customer_id = c.id GROUP BY c.name ORDER BY c.name"
)


@pytest.fixture(scope="module")
def started() -> Iterator[Kernel]:
    with started_kernel() as kernel:
        assert kernel.run("%load_ext sqlcoder_magic").ok
        yield kernel


@pytest.fixture
def kernel(started: Kernel) -> Kernel:
    started.use_fake_model()
    done = started.run(FRAMES)
    assert done.ok, done.error
    return started


def test_frames_are_asked_and_the_cell_runs(kernel: Kernel) -> None:
    kernel.model_says(TOTALS)
    asked = kernel.run("%%nl2sql --frames orders,customers -o totals\nSales by customer?")
    assert asked.ok, asked.error
    assert kernel.value("totals.values.tolist()") == [["Ada", 11.0], ["Bo", 7.5]]
    prompt = kernel.value("fake.prompts[-1].text")
    assert "CREATE TABLE orders" in prompt and "number" not in prompt
    ran = kernel.run(asked.cells[0])
    assert ran.ok and "11.0" in ran.shown(), (ran.error, ran.stdout)


def test_frames_beside_a_connection(kernel: Kernel) -> None:
    """The cell names the frames; jupysql's current connection is not theirs."""
    assert kernel.run("%sqlcoder connect sample").ok
    kernel.model_says("SELECT COUNT(*) AS n FROM orders", "SELECT COUNT(*) FROM customers")
    asked = kernel.run("%%nl2sql --frames orders\nHow many?")
    assert asked.cells[0].startswith("%%sql frames\n-- How many?\n")
    plain = kernel.run("%%nl2sql --run\nHow many customers are there?")
    assert plain.ok and "1 row" in plain.shown() and " 2\n" not in plain.shown()
    ran = kernel.run(asked.cells[0])
    assert ran.ok and "3" in ran.shown(), (ran.error, ran.stdout)


def test_a_changed_frame_is_seen_by_the_next_question(kernel: Kernel) -> None:
    kernel.model_says("SELECT COUNT(*) AS n FROM orders", "SELECT MAX(more) AS n FROM orders")
    assert kernel.run("%%nl2sql --frames orders -o n\nHow many?").ok
    assert kernel.value("n.iloc[0, 0].item()") == 3
    assert kernel.run("orders['more'] = 40 + orders['id']\norders = orders[orders.id > 1]").ok
    assert kernel.run("%%nl2sql --frames orders -o n\nThe most?").ok
    assert kernel.value("n.iloc[0, 0].item()") == 43


def test_another_frame_is_out_of_reach(kernel: Kernel) -> None:
    """Not the variable that the question did not name, though DuckDB could find it in Python."""
    kernel.model_says("SELECT * FROM customers")
    failed = kernel.run("%%nl2sql --frames orders --run\nWho?")
    assert "no table or view customers" in failed.error[0].lower()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--frames order", "There is no variable called 'order'."),
        ("--frames number", "number is of type int, not a DataFrame."),
        ("--frames orders -c sample", "--frames asks DataFrames, --connection a database."),
        ("--frames ,", "--frames names no DataFrame."),
        ("--frames orders, order", "There is no variable called 'order'."),
        ("-c orders", "The type pandas.DataFrame is not a database connection."),
    ],
)
def test_a_name_that_is_no_frame(kernel: Kernel, options: str, said: str) -> None:
    failed = kernel.run(f"%%nl2sql {options}\nHow many?")
    assert failed.error[0] == said
    assert len(failed.error) > 1 and failed.error[1]
    assert kernel.value("len(fake.prompts)") == 0


def test_files_are_connected_and_the_cell_runs(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("page,hits\nhome,5\nshop,7\n")
    (tmp_path / "pages.json").write_text('[{"page": "shop", "owner": "Cy"}]')
    connected = kernel.run(f"%sqlcoder connect {tmp_path}/*.*")
    assert connected.ok and "Connected to files" in connected.stdout, connected.error
    kernel.model_says("SELECT owner, hits FROM visits JOIN pages ON visits.page = pages.page")
    asked = kernel.run("%%nl2sql -o found\nWhose page has how many hits?")
    assert asked.ok, asked.error
    assert kernel.value("found.values.tolist()") == [["Cy", 7]]
    ran = kernel.run(asked.cells[0])
    assert ran.ok and "Cy" in ran.shown(), (ran.error, ran.stdout)
    failed = kernel.run(f"%sqlcoder connect {tmp_path}/nothing*.csv")
    assert failed.error[0].startswith("No file matches")
