"""The schema's tree and picture in JupyterLab 4, in a real Chromium: searched, opened, followed.

Also in a notebook that is not trusted, where no script runs and the plain list has to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import NotebookPage, chromium, open_notebook, running_lab

from sqlcoder_magic.display import schema_html
from sqlcoder_magic.schema import read_schema

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium: CHROMIUM=/path names one"),
]
MANY = """
from sqlcoder_magic.display import schema_html, show_bundle
from sqlcoder_magic.types import Column, Schema, Table
columns = tuple(Column(f"column_{n}", "VARCHAR(40)", True, "<b>bold</b>") for n in range(10))
tables = tuple(Table(f"{place}_{n}", "", columns, (), ()) for n in range(5_000)
               for place in ("north", "south"))
show_bundle({"text/html": schema_html(Schema("x", tables))})
"""


def notebook_file(path: Path, outputs: list[dict[str, object]]) -> None:
    cell = {
        "cell_type": "code",
        "id": "first",
        "metadata": {},
        "execution_count": None,
        "outputs": outputs,
        "source": "%load_ext sqlcoder_magic\n%sqlcoder connect sample",
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    made = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(made))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("lab")
    notebook_file(directory / "fresh.ipynb", [])
    page = {"text/html": schema_html(read_schema("sample"))}
    foreign: dict[str, object] = {"output_type": "display_data", "data": page, "metadata": {}}
    notebook_file(directory / "foreign.ipynb", [foreign])
    with running_lab(directory) as address:
        yield address


# Before `fresh` is open: Playwright takes one page of this kind at a time.
def test_a_notebook_that_is_not_trusted_shows_the_plain_list(lab: str) -> None:
    with open_notebook(lab, "foreign.ipynb") as notebook:
        output = notebook.output(0)
        output.get_by_text("product_suppliers").wait_for()
        assert output.locator("input").count() == 0
        assert output.locator("script").count() == 0
        output.locator("summary", has_text="salespeople").click()
        output.get_by_text("region").first.wait_for()


@pytest.fixture(scope="module")
def fresh(lab: str) -> Iterator[NotebookPage]:
    with open_notebook(lab, "fresh.ipynb") as notebook:
        notebook.run(0)
        assert "Connected to sample" in notebook.text(0)
        yield notebook


def test_the_tree_is_searched_and_followed(fresh: NotebookPage, tmp_path: Path) -> None:
    number = fresh.add("%sqlcoder schema")
    fresh.run(number)
    output = fresh.output(number)
    search = output.locator("input[type=search]")
    search.wait_for()
    assert "5 of 5 tables" in output.inner_text()
    search.click()
    fresh.page.keyboard.type("supply price")  # no key of it is a shortcut of the page
    output.get_by_text("1 of 5 tables").wait_for()  # from the first letters on
    output.get_by_text("supply_price").first.wait_for()
    assert "supply_price" in output.inner_text() and "sales" not in output.inner_text()
    output.get_by_text("product_id → products (product_id)").click()
    output.get_by_text("units in stock now").wait_for()
    assert search.input_value() == "products"
    picture = tmp_path / "tree.png"
    fresh.page.screenshot(path=str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_ten_thousand_tables_are_listed_lazily(fresh: NotebookPage) -> None:
    number = fresh.add(MANY)
    fresh.run(number)
    output = fresh.output(number)
    output.get_by_text("10,000 of 10,000 tables").wait_for()
    assert output.locator("details").count() == 100
    output.get_by_text("Show more").click()
    assert output.locator("details").count() == 200
    output.locator("input").fill("south_4321")
    output.get_by_text("1 of 10,000 tables").wait_for()
    assert "<b>bold</b>" in output.inner_text()  # a comment stays text


def test_the_picture_is_drawn(fresh: NotebookPage) -> None:
    number = fresh.add("%sqlcoder schema --er sales,customers")
    fresh.run(number)
    svg = fresh.output(number).locator("svg[role=img]")
    assert svg.locator("rect").count() == 2
    size = svg.bounding_box()
    assert size is not None and size["width"] > 200 and size["height"] > 80
    assert "customer_id" in svg.text_content()
