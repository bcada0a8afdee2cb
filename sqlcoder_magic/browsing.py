"""`%sqlcoder schema`: the tables as a tree, as text, or as a picture with their joins.

A notebook gets the tree or the picture, with the text beside it for front ends that show no
HTML; a terminal gets text. Not covered: how these are drawn (`display`).
"""

from __future__ import annotations

import html
from typing import Any

from sqlcoder_magic.connection import open_database
from sqlcoder_magic.display import (
    diagram_mermaid,
    diagram_svg,
    schema_html,
    schema_text,
    show_bundle,
)
from sqlcoder_magic.errors import OptionError, visible
from sqlcoder_magic.schema import guess_notes, read_schema, with_guessed_joins
from sqlcoder_magic.settings import Settings
from sqlcoder_magic.types import Schema

HELP = {"schema": "schema [TABLE ...] [--text | --er [A,B]]   the tables; --er draws their joins"}


def schema(words: list[str], shell: Any, settings: Settings) -> None:
    """The tables, or those named in full; `--text` in plain text, `--er` as a picture."""
    text, picture, names = _parsed(words)
    found = read_schema(open_database(None, shell.user_ns), tables=names or None)
    if settings.guess_joins:
        found = with_guessed_joins(found)
    notebook = getattr(shell, "kernel", None) is not None
    if picture and notebook:
        plain = schema_text(found, full=True)
        show_bundle(
            {
                "text/plain": visible(plain),
                "text/html": diagram_svg(found) + _said(found),
                "text/vnd.mermaid": diagram_mermaid(found),
            }
        )
    elif picture:
        print(visible(diagram_mermaid(found)))
    elif notebook and not text:
        listing = schema_text(found, full=bool(names))
        show_bundle({"text/plain": visible(listing), "text/html": schema_html(found)})
    else:
        print(visible(schema_text(found, full=bool(names))))


def _parsed(words: list[str]) -> tuple[bool, bool, list[str]]:
    """(--text, --er, the tables named)."""
    flags = [word for word in words if word.startswith("--")]
    wrong = [flag for flag in flags if flag not in ("--text", "--er")]
    if wrong or len(flags) > 1:
        said = f"schema has no option {wrong[0]}." if wrong else "Give --text or --er, not both."
        raise OptionError(said, fix="%sqlcoder " + HELP["schema"])
    named = [word for word in words if word not in flags]  # with commas or blanks between them
    names = [name.strip() for word in named for name in word.split(",")]
    return "--text" in flags, "--er" in flags, [name for name in names if name]


def _said(found: Schema) -> str:
    notes = (*guess_notes(found), *found.notes)
    return "".join(f"<div>{html.escape(visible(note))}</div>" for note in notes)
