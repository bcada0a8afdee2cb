"""`%sqlcoder schema` in a kernel: a tree, a picture, plain text; sentences for what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel_helpers import Kernel, started_kernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with started_kernel() as kernel:
        assert kernel.run("%load_ext sqlcoder_magic\n%sqlcoder connect sample").ok
        yield kernel


def test_the_tree_and_the_same_as_text(kernel: Kernel) -> None:
    shown = kernel.run("%sqlcoder schema")
    assert shown.ok and not shown.stdout
    assert "<details>" in shown.shown("text/html") and "salespeople" in shown.shown("text/html")
    assert "products (product_id, name, price, quantity)" in shown.shown()


def test_one_table_in_full(kernel: Kernel) -> None:
    shown = kernel.run("%sqlcoder schema sales")
    assert "product_id → products" in shown.shown()
    assert "supply_price" not in shown.shown("text/html")


@pytest.mark.parametrize("names", ["sales products", "sales,products", "sales, products"])
def test_some_tables_in_full(kernel: Kernel, names: str) -> None:
    shown = kernel.run(f"%sqlcoder schema {names}").shown()
    assert "sale_id" in shown and "price REAL" in shown and "address" not in shown


def test_plain_text(kernel: Kernel) -> None:
    shown = kernel.run("%sqlcoder schema sales --text")
    assert "PRIMARY KEY" in shown.stdout and not shown.shown()


def test_the_picture_and_its_mermaid(kernel: Kernel) -> None:
    shown = kernel.run("%sqlcoder schema --er sales,customers")
    assert "<svg" in shown.shown("text/html") and "products" not in shown.shown("text/html")
    assert shown.shown("text/vnd.mermaid").startswith("erDiagram\n")
    assert "sales" in shown.shown()
    everything = kernel.run("%sqlcoder schema --er")
    assert everything.shown("text/html").count("<rect") == 5


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("schema --big", "schema has no option --big."),
        ("schema --text --er", "Give --text or --er, not both."),
        ("schema --er sales,custmers", "There is no table or view called 'custmers'."),
    ],
)
def test_what_it_does_not_take(kernel: Kernel, line: str, said: str) -> None:
    failed = kernel.run(f"%sqlcoder {line}")
    assert failed.error[0] == said and failed.error[1]
