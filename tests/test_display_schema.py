"""The schema as text, as a tree and as a picture: complete, escaped, and small."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from sqlcoder_magic.display import diagram_mermaid, diagram_svg, schema_html, schema_text
from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.schema import with_guessed_joins
from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

HOSTILE = "</script><script>alert(1)</script>\"'`$x$\u202e\n<img src=x onerror=alert(1)>"
CUSTOMERS = Table(
    "customers",
    "",
    (
        Column("id", "INTEGER", False),
        Column("e_mail", "TEXT", True, "where bills go"),
        Column("upper_mail", "TEXT", True, generated=True),
    ),
    ("id",),
    (),
    "who buys",
    unique_keys=(("e_mail",), ("id", "e_mail")),
    rows=1234,
)
ORDERS = Table(
    "orders",
    "",
    (
        Column("nr", "INTEGER", False),
        Column("customer_id", "INTEGER", False),
        Column("parent_nr", "INTEGER", True),
    ),
    ("nr",),
    (
        ForeignKey(("customer_id",), "customers", ("id",)),
        ForeignKey(("parent_nr",), "orders", ("nr",)),
    ),
    kind="view",
)
SHOP = Schema("sqlite", (CUSTOMERS, ORDERS), ("One view could not be read.",))


def unpacked(page: str) -> Any:
    found = re.search(r'"packed": "([A-Za-z0-9+/=]+)"', page)
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_the_text_has_everything() -> None:
    assert schema_text(SHOP, full=True).splitlines() == [
        "customers  (about 1,234 rows)  who buys",
        "  id INTEGER PRIMARY KEY",
        "  e_mail TEXT UNIQUE  -- where bills go",
        "  upper_mail TEXT GENERATED",
        "  UNIQUE (id, e_mail)",
        "orders  (view)",
        "  nr INTEGER PRIMARY KEY",
        "  customer_id INTEGER NOT NULL",
        "  parent_nr INTEGER",
        "  customer_id → customers (id)",
        "  parent_nr → orders (nr)",
        "One view could not be read.",
    ]
    assert schema_text(SHOP, full=False).startswith("customers (id, e_mail, upper_mail)\norders (")


def test_the_tree_has_everything_packed_and_plain() -> None:
    page = schema_html(SHOP)
    data = unpacked(page)
    customers, orders = data["tables"]
    assert customers[:4] == ["customers", "", "(about 1,234 rows)", "who buys"]
    assert customers[4][1] == ["e_mail", "TEXT", ["UNIQUE"], "where bills go"]
    assert customers[5] == ["UNIQUE (id, e_mail)"]
    assert orders[6][0] == ["customer_id → customers (id)", "customers"]
    assert data["notes"] == ["One view could not be read."]
    plain = page.split("<script>")[0]
    for word in ("customers", "e_mail", "UNIQUE", "where bills go", "parent_nr → orders (nr)"):
        assert word in plain
    assert "http" not in page and "src=" not in page  # nothing from outside


def test_a_guessed_join_says_so_everywhere() -> None:
    bare = Table("orders", "", ORDERS.columns[:2], ("nr",), ())
    guessed = with_guessed_joins(Schema("sqlite", (CUSTOMERS, bare)))
    assert "customer_id → customers (id) guessed" in schema_text(guessed, full=True)
    assert unpacked(schema_html(guessed))["tables"][1][6][0][0].endswith("guessed")
    assert "stroke-dasharray" in diagram_svg(guessed) and "(guessed)" in diagram_svg(guessed)
    assert "t1 }o..|| t0" in diagram_mermaid(guessed)
    assert "stroke-dasharray" not in diagram_svg(SHOP)


def hostile_schema() -> Schema:
    column = Column(HOSTILE, HOSTILE, True, HOSTILE)
    key = ForeignKey((HOSTILE,), f"{HOSTILE}.{HOSTILE}", (HOSTILE,))
    table = Table(HOSTILE, HOSTILE, (column,), (HOSTILE,), (key,), HOSTILE)
    return Schema("sqlite", (table,), (HOSTILE,))


def test_nothing_in_a_name_becomes_html() -> None:
    page = schema_html(hostile_schema())
    assert page.count("<script") == page.count("</script>") == 1
    assert "<img" not in page and "\u202e" not in page and "$x$" not in page
    picture = diagram_svg(hostile_schema())
    assert "<script" not in picture and "<img" not in picture and "$" not in picture
    ElementTree.fromstring(picture)
    text = diagram_mermaid(hostile_schema())
    assert len(text.splitlines()) == 5  # no line is forged
    assert "<" not in text and text.count('"') == 4


def test_no_name_sets_options_of_mermaid() -> None:
    name = "%%{init: {'securityLevel': 'loose'}}%%"
    table = Table(name, "", (Column(name, name, True),), (), ())
    text = diagram_mermaid(Schema("sqlite", (table,)))
    assert "%" not in text and "{init" not in text and len(text.splitlines()) == 4


def test_ten_thousand_tables_stay_small() -> None:
    columns = tuple(Column(f"column_{i}", "VARCHAR(40)", True) for i in range(10))
    schema = Schema("x", tuple(Table(f"t_{n}", "s", columns, (), ()) for n in range(10_000)))
    page = schema_html(schema)
    assert len(page) < 1_000_000
    assert len(unpacked(page)["tables"]) == 10_000
    assert page.count("<details>") == 20 and "and 9,980 more" in page


def test_a_table_of_1600_columns() -> None:
    wide = Table("wide", "", tuple(Column(f"c{i}", "INT", True) for i in range(1600)), (), ())
    page = schema_html(Schema("x", (wide,)))
    assert "and 1,540 more columns" in page.split("<script>")[0]
    assert "… 1,589 more" in diagram_svg(Schema("x", (wide,)))


def rectangles(picture: str) -> list[tuple[float, float, float, float]]:
    root = ElementTree.fromstring(picture)
    found = root.iter("{http://www.w3.org/2000/svg}rect")
    return [tuple(float(r.attrib[k]) for k in ("x", "y", "width", "height")) for r in found]  # type: ignore[misc]


def test_the_picture_is_laid_out() -> None:
    """What is referred to stands left, no boxes overlap, everything is inside."""
    tables = [CUSTOMERS, ORDERS]
    for number in range(8):
        key = ForeignKey(("customer_id",), "customers" if number % 2 else "orders", ("id",))
        tables.append(Table(f"note{number}", "", ORDERS.columns, (), (key,)))
    picture = diagram_svg(Schema("x", tuple(tables)))
    root = ElementTree.fromstring(picture)
    boxes = rectangles(picture)
    assert len(boxes) == 10
    assert boxes[0][0] < boxes[1][0]
    for at, (x, y, w, h) in enumerate(boxes):
        assert x >= 0 and y >= 0
        assert x + w <= float(root.attrib["width"]) and y + h <= float(root.attrib["height"])
        for x2, y2, w2, h2 in boxes[at + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    assert picture.count("<circle") == 2 + 8


def test_tables_that_refer_to_each_other_in_a_circle() -> None:
    def ring(name: str, other: str) -> Table:
        return Table(name, "", ORDERS.columns, (), (ForeignKey(("nr",), other, ("nr",)),))

    schema = Schema("x", (ring("a", "b"), ring("b", "c"), ring("c", "a"), ring("d", "gone")))
    picture = diagram_svg(schema)
    assert len(rectangles(picture)) == 4 and picture.count("<circle") == 3


def test_a_long_chain_of_references() -> None:
    tables = [
        Table(f"t{n}", "", ORDERS.columns, (), (ForeignKey(("nr",), f"t{n + 1}", ("nr",)),))
        for n in range(40)
    ]
    assert len(rectangles(diagram_svg(Schema("x", tuple(tables))))) == 40


def test_too_many_tables_for_a_picture() -> None:
    tables = tuple(Table(f"t{n}", "", ORDERS.columns, (), ()) for n in range(41))
    for draw in (diagram_svg, diagram_mermaid):
        with pytest.raises(OptionError, match="41 tables cannot be read") as caught:
            draw(Schema("x", tables))
        assert "--er" in caught.value.fix


def test_mermaid_text() -> None:
    assert diagram_mermaid(SHOP).splitlines() == [
        "erDiagram",
        '  t0["customers"] {',
        "    INTEGER id PK",
        "    TEXT e_mail UK",
        "    TEXT upper_mail",
        "  }",
        '  t1["orders"] {',
        "    INTEGER nr PK",
        "    INTEGER customer_id FK",
        "    INTEGER parent_nr FK",
        "  }",
        '  t1 }o--|| t0 : "customer_id"',
        '  t1 }o--|| t1 : "parent_nr"',
    ]
