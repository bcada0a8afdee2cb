"""A schema to look at: text for terminals, and for notebooks a tree that can be searched.

The tree is HTML without anything from outside. What it lists travels packed (a tenth of its
size) and becomes elements only as they are opened or searched for, by the script beside this
file; so ten thousand tables stay light. Where a front end runs no scripts, as in a notebook that
is not trusted, the first tables are there as plain HTML that folds. Every name and comment
is somebody else's text: escaped here, and put in as text, never as HTML, by the script. Not
covered: pictures of the joins (`diagram`).
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import uuid
from importlib.resources import files
from typing import Any

from sqlcoder_magic.display.answer import without_math
from sqlcoder_magic.errors import visible
from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

PLAIN_TABLES = 20  # in full, where no script runs
PLAIN_COLUMNS = 60  # of each of them
_CELL = "padding:1px 12px 1px 0;text-align:left;vertical-align:top;white-space:pre-wrap"


def schema_text(schema: Schema, *, full: bool) -> str:
    """A line a table with its columns; in full, a line a column with type, keys and comment."""
    blocks = [_table_text(t) if full else _table_line(t) for t in schema.tables]
    return "\n".join([*blocks, *schema.notes])


def _table_line(table: Table) -> str:
    return f"{table.full_name} ({', '.join(column.name for column in table.columns)})"


def _table_text(table: Table) -> str:
    lines = ["  ".join(part for part in (table.full_name, _about(table), table.comment) if part)]
    for column in table.columns:
        remark = f"  -- {column.comment}" if column.comment else ""
        marks = "".join(f" {mark}" for mark in _marks(column, table))
        lines.append(f"  {column.name} {column.type}{marks}{remark}")
    lines += [f"  UNIQUE ({', '.join(key)})" for key in table.unique_keys if len(key) > 1]
    lines += [f"  {_reference(key)}" for key in table.foreign_keys]
    return "\n".join(lines)


def _about(table: Table) -> str:
    """What is noteworthy of a table: that it is none but a view, and how many rows it may have."""
    parts = [] if table.kind == "table" else [table.kind]
    parts += [] if table.rows is None else [f"about {table.rows:,} rows"]
    return f"({', '.join(parts)})" if parts else ""


def _marks(column: Column, table: Table) -> list[str]:
    marks = ["PRIMARY KEY"] if column.name in table.primary_key else []
    marks += ["UNIQUE"] if (column.name,) in table.unique_keys else []
    marks += ["GENERATED"] if column.generated else []
    return marks if column.nullable or marks else ["NOT NULL"]


def _reference(key: ForeignKey) -> str:
    here, there = ", ".join(key.columns), ", ".join(key.other_columns)
    return f"{here} → {key.other_table} ({there})" + (" guessed" if key.guessed else "")


# ---------------------------------------------------------------- a notebook


def show_bundle(bundle: dict[str, str]) -> None:
    """Show one thing in a notebook, spelled in several types (MIME); the front end chooses."""
    from IPython.display import display

    show: Any = display  # untyped in IPython
    show(bundle, raw=True)


def schema_html(schema: Schema) -> str:
    """The tree as HTML: plain, and packed for the script that makes it searchable."""
    place = f"sqlcoder-schema-{uuid.uuid4().hex}"
    script = files("sqlcoder_magic.display").joinpath("schema.js").read_text("utf-8")
    settings = json.dumps({"place": place, "packed": _packed(schema)})
    return (
        f'<div id="{place}" data-lm-suppress-shortcuts="true" style="max-width:60em">'
        f"{_plain_html(schema)}</div>"
        f"<script>({script.strip().rstrip(';')})({settings});</script>"
    )


def _packed(schema: Schema) -> str:
    """The whole schema as JSON, compressed, as text that no HTML can be made of."""
    data = {
        "tables": [_table_data(table) for table in schema.tables],
        "notes": [visible(note) for note in schema.notes],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    packed = gzip.compress(text.encode("utf-8", "backslashreplace"), compresslevel=6, mtime=0)
    return base64.b64encode(packed).decode("ascii")


def _table_data(table: Table) -> list[Any]:
    columns = [
        [visible(c.name), visible(c.type), _marks(c, table), visible(c.comment)]
        for c in table.columns
    ]
    keys = [visible(f"UNIQUE ({', '.join(key)})") for key in table.unique_keys if len(key) > 1]
    references = [
        [visible(_reference(key)), visible(key.other_table)] for key in table.foreign_keys
    ]
    return [
        visible(table.full_name),
        visible(table.namespace),
        _about(table),
        visible(table.comment),
        columns,
        keys,
        references,
    ]


def _plain_html(schema: Schema) -> str:
    first = schema.tables[:PLAIN_TABLES]
    more = len(schema.tables) - len(first)
    parts = [_details(table) for table in first]
    if more:
        parts.append(f"<p>and {more:,} more: %sqlcoder schema TABLE shows one of them.</p>")
    parts += [f"<p>{_escaped(note)}</p>" for note in schema.notes]
    return "".join(parts)


def _details(table: Table) -> str:
    rows = "".join(_row(column, table) for column in table.columns[:PLAIN_COLUMNS])
    left = len(table.columns) - PLAIN_COLUMNS
    lines = [f"UNIQUE ({', '.join(key)})" for key in table.unique_keys if len(key) > 1]
    lines += [_reference(key) for key in table.foreign_keys]
    lines += [f"and {left:,} more columns"] if left > 0 else []
    below = "".join(f"<div>{_escaped(line)}</div>" for line in lines)
    head = " ".join(filter(None, (_about(table), table.comment)))
    return (
        f"<details><summary><b>{_escaped(table.full_name)}</b> {_escaped(head)}</summary>"
        f'<div style="margin:0 0 6px 18px"><table style="margin:2px 0">{rows}</table>{below}</div>'
        "</details>"
    )


def _row(column: Column, table: Table) -> str:
    cells = (column.name, column.type, " ".join(_marks(column, table)), column.comment)
    return (
        "<tr>" + "".join(f'<td style="{_CELL}">{_escaped(cell)}</td>' for cell in cells) + "</tr>"
    )


def _escaped(text: str) -> str:
    return without_math(html.escape(visible(text)))
