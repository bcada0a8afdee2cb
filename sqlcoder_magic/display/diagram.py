"""Tables and their joins as a picture: an SVG drawn here, and Mermaid text for front ends with it.

Layers: a table stands right of those that it refers to, so that arrows point left; within a
layer, near its neighbours. A box lists keys first, then as many columns as there is room for.
Guessed joins are dashed. Everything is escaped. Not covered: finding the best layout of a large
schema; a few dozen tables can be told apart, more are to be named.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from sqlcoder_magic.errors import OptionError, visible
from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

MOST_TABLES = 40  # in one picture
MOST_COLUMNS = 12  # in a box, keys included
MOST_LETTERS = 34  # of a name

_LETTER, _LINE, _HEAD, _PAD = 7.0, 18, 22, 8  # a letter's width, a line's height … in pixels
_GAP_X, _GAP_Y = 70, 22
_INK = "var(--jp-content-font-color1,var(--vscode-editor-foreground,#222))"
_PAPER = "var(--jp-layout-color0,var(--vscode-editor-background,#fff))"
_SHADE = "rgba(110,140,180,0.28)"


@dataclass
class _Box:
    """A table with its place; `rows` are (mark, name, type) of the columns that are shown."""

    table: Table
    rows: list[tuple[str, str, str]]
    layer: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        """Enough for the longest line."""
        lines = [_short(self.table.full_name), *(f"{m:<3}{n}  {t}" for m, n, t in self.rows)]
        return max(map(_letters, lines)) * _LETTER + 2 * _PAD

    @property
    def height(self) -> float:
        """The head and the rows."""
        return float(_HEAD + _LINE * len(self.rows) + 4)

    def row_y(self, column: str) -> float:
        """The middle of a column's line; of the head for one that is not shown."""
        for position, (_, name, _) in enumerate(self.rows):
            if name == _short(column):
                return self.y + _HEAD + _LINE * (position + 0.5)
        return self.y + _HEAD / 2


def diagram_svg(schema: Schema) -> str:
    """The tables of a schema and what joins them. Raises OptionError for too many to read."""
    _require_few(schema)
    boxes = {table.full_name: _Box(table, _rows(table, schema)) for table in schema.tables}
    _set_layers(boxes)
    width, height = _set_places(boxes)
    edges = "".join(_edge(box, boxes[key.other_table], key) for box, key in _joins(boxes))
    tables = "".join(_drawn(box) for box in boxes.values())
    names = ", ".join(_escaped(name) for name in boxes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" style="max-width:100%;height:auto;'
        f'font:12px ui-monospace,Menlo,Consolas,monospace"><title>{names}</title>'
        f"{edges}{tables}</svg>"
    )


def diagram_mermaid(schema: Schema) -> str:
    """The same as Mermaid's `erDiagram`; its words are letters, digits and `_` only."""
    _require_few(schema)
    ids = {t.full_name: f"t{i}" for i, t in enumerate(schema.tables)}
    lines = ["erDiagram"]
    for table in schema.tables:
        lines.append(f'  {ids[table.full_name]}["{_mermaid_text(table.full_name)}"] {{')
        for column in _by_weight(table, schema)[:MOST_COLUMNS]:
            marks = ", ".join(m for m in ("PK", "FK", "UK") if m in _marks(column, table))
            words = (_mermaid_word(column.type), _mermaid_word(column.name), marks)
            lines.append("    " + " ".join(word for word in words if word))
        lines.append("  }")
    for table in schema.tables:
        for key in table.foreign_keys:
            if key.other_table in ids:
                line = ".." if key.guessed else "--"
                ends = f"{ids[table.full_name]} }}o{line}|| {ids[key.other_table]}"
                lines.append(f'  {ends} : "{_mermaid_text(", ".join(key.columns))}"')
    return "\n".join(lines)


def _require_few(schema: Schema) -> None:
    if len(schema.tables) > MOST_TABLES:
        raise OptionError(
            f"A picture of {len(schema.tables):,} tables cannot be read.",
            fix=f"Name up to {MOST_TABLES}: %sqlcoder schema --er orders,customers.",
        )


# ---------------------------------------------------------------- what a box shows


def _marks(column: Column, table: Table) -> list[str]:
    marks = ["PK"] if column.name in table.primary_key else []
    if any(column.name in key.columns for key in table.foreign_keys):
        marks.append("FK")
    if (column.name,) in table.unique_keys:
        marks.append("UK")
    return marks


def _by_weight(table: Table, schema: Schema) -> list[Column]:
    """The columns that joins need first, the others in their order."""
    meant = {
        name
        for other in schema.tables
        for key in other.foreign_keys
        if key.other_table == table.full_name
        for name in key.other_columns
    }
    return sorted(table.columns, key=lambda c: not _marks(c, table) and c.name not in meant)


def _rows(table: Table, schema: Schema) -> list[tuple[str, str, str]]:
    columns = _by_weight(table, schema)
    room = MOST_COLUMNS if len(columns) <= MOST_COLUMNS else MOST_COLUMNS - 1
    rows = [
        ((_marks(column, table) or [""])[0], _short(column.name), _short(column.type.lower(), 16))
        for column in columns[:room]
    ]
    left = len(columns) - room
    return [*rows, ("", f"… {left:,} more", "")] if left > 0 else rows


def _joins(boxes: dict[str, _Box]) -> Iterator[tuple[_Box, ForeignKey]]:
    for box in boxes.values():
        for key in box.table.foreign_keys:
            if key.other_table in boxes:
                yield box, key


# ---------------------------------------------------------------- where a box stands


def _set_layers(boxes: dict[str, _Box]) -> None:
    """Each table one layer right of the last that it refers to, a circle cut where it is met;
    then as far right as those that refer to it let it: short lines cross little."""
    done: dict[str, int] = {}

    def layer(name: str, way: tuple[str, ...]) -> int:
        if name in done or name in way:
            return done.get(name, -1)
        others = {k.other_table for k in boxes[name].table.foreign_keys} & boxes.keys() - {name}
        done[name] = 1 + max((layer(o, (*way, name)) for o in sorted(others)), default=-1)
        return done[name]

    for name, box in boxes.items():
        box.layer = layer(name, ())
    for box in sorted(boxes.values(), key=lambda box: -box.layer):
        referring = [b.layer for b, key in _joins(boxes) if boxes[key.other_table] is box]
        nearest = min((number for number in referring if number > box.layer), default=0)
        box.layer = max(box.layer, nearest - 1)


def _set_places(boxes: dict[str, _Box]) -> tuple[float, float]:
    """Set x and y of each; the size of the whole."""
    layers: dict[int, list[_Box]] = {}
    for box in boxes.values():
        layers.setdefault(box.layer, []).append(box)
    x, bottom = 1.0, 0.0
    for number in sorted(layers):
        column = sorted(layers[number], key=lambda box: _middle_of_targets(box, boxes))
        y = 1.0
        for box in column:
            beside = _middle_of_targets(box, boxes) - box.height / 2
            box.x, box.y = x, max(y, min(beside, bottom - box.height))
            y = box.y + box.height + _GAP_Y
        x += max(box.width for box in column) + _GAP_X
        bottom = max(bottom, y - _GAP_Y)
    return x - _GAP_X + 25, bottom + 1  # room for a table that refers to itself


def _middle_of_targets(box: _Box, boxes: dict[str, _Box]) -> float:
    """How far down what it refers to stands, on average; layers further left are placed."""
    others = {key.other_table for key in box.table.foreign_keys} & boxes.keys()
    targets = [boxes[name] for name in sorted(others)]
    placed = [other.y + other.height / 2 for other in targets if other.layer < box.layer]
    return sum(placed) / len(placed) if placed else 0.0


# ---------------------------------------------------------------- drawing


def _drawn(box: _Box) -> str:
    x, y, width = box.x, box.y, box.width
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{box.height}" rx="4" '
        f'style="fill:{_PAPER};stroke:{_INK};stroke-opacity:0.5"/>',
        f'<path d="M{x} {y + _HEAD}h{width}v-{_HEAD - 4}q0 -4 -4 -4h-{width - 8}q-4 0 -4 4z" '
        f'style="fill:{_SHADE}"/>',
        _text(x + _PAD, y + 15, _short(box.table.full_name), "font-weight:bold"),
    ]
    name_at = x + _PAD + 3 * _LETTER
    type_at = x + width - _PAD
    for position, (mark, name, kind) in enumerate(box.rows):
        line = y + _HEAD + _LINE * position + 13
        parts.append(_text(x + _PAD, line, mark, "opacity:0.7;font-weight:bold"))
        parts.append(_text(name_at, line, name))
        parts.append(_text(type_at, line, kind, "opacity:0.6;text-anchor:end"))
    remark = f"<title>{_escaped(box.table.comment)}</title>" if box.table.comment else ""
    return f"<g>{remark}{''.join(parts)}</g>"


def _edge(box: _Box, other: _Box, key: ForeignKey) -> str:
    """A curve from each column to the one that it means; its end a dot."""
    dashed = "stroke-dasharray:5 4;" if key.guessed else ""
    said = f"{box.table.full_name} ({', '.join(key.columns)}) → {key.other_table}"
    parts = [f"<title>{_escaped(said + (' (guessed)' if key.guessed else ''))}</title>"]
    for here, there in zip(key.columns, key.other_columns, strict=True):
        y1, y2 = box.row_y(here), other.row_y(there)
        if box.x > other.x:
            x1, x2 = box.x, other.x + other.width
            bend = max((x1 - x2) / 2, 20.0)
            curve = f"M{x1} {y1}C{x1 - bend} {y1} {x2 + bend} {y2} {x2} {y2}"
        else:  # the same layer, itself, or what a circle put further right
            x1, x2 = box.x + box.width, other.x + other.width
            out = max(x1, x2) + 22
            curve = f"M{x1} {y1}C{out} {y1} {out} {y2} {x2} {y2}"
        parts.append(
            f'<path d="{curve}" style="fill:none;stroke:{_INK};stroke-opacity:0.6;{dashed}"/>'
            f'<circle cx="{x2}" cy="{y2}" r="3" style="fill:{_INK};fill-opacity:0.6"/>'
        )
    return f"<g>{''.join(parts)}</g>"


def _text(x: float, y: float, text: str, style: str = "") -> str:
    if not text:
        return ""
    # MathJax looks within one piece of text, and an element ends a piece.
    inner = re.sub(r"&#36;|\\", lambda found: f"<tspan>{found[0]}</tspan>", _escaped(text))
    return f'<text x="{x}" y="{y}" style="fill:{_INK};{style}">{inner}</text>'


def _short(text: str, most: int = MOST_LETTERS) -> str:
    text = visible(" ".join(text.split()))
    return text if len(text) <= most else text[: most - 1] + "…"


def _letters(text: str) -> int:
    """How many letters wide; those of East Asia take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _escaped(text: str) -> str:
    return html.escape(visible(text)).replace("$", "&#36;")


def _mermaid_word(text: str) -> str:
    """A word that its grammar takes: no quotes, brackets or spaces, a letter first."""
    word = re.sub(r"\W+", "_", text).strip("_") or "x"
    return word if word[0].isalpha() else f"_{word}"


def _mermaid_text(text: str) -> str:
    """Text between double quotes. `%%{…}%%` would set options of the front end, even there."""
    return re.sub(r'["<>#;\\`$%{}]', "'", visible(" ".join(text.split())))
