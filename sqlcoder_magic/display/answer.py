"""An Answer as text and as HTML, and its DataFrame.

Everything from the model or the database is escaped: HTML, MathJax, ANSI and other
control characters. Nothing here runs anything or knows the front end.
"""

from __future__ import annotations

import html
import re
from typing import Any

from sqlcoder_magic.errors import visible
from sqlcoder_magic.types import Answer, Draft, Plan

ROWS_SHOWN = 60  # of a frame; pandas' own default for long ones
_MONOSPACE = "margin:0.3em 0;white-space:pre-wrap;text-align:left;font-size:0.93em"
_ROOM = "margin:0.3em 0"  # above and below a list or a table, in place of the page's own
_BRIEF_S = 0.005  # what took less is left out of a notebook's line of seconds


def answer_text(answer: Answer, *, colours: bool = False) -> str:
    """As text: SQL (highlighted for a terminal, if wanted), notes and plan, not the rows."""
    sql = visible(answer.sql) + ";"
    lines = [_refusal(answer) if answer.refused else sql_ansi(sql) if colours else sql]
    lines += [f"-- {visible(note)}" for note in answer.notes]
    if answer.plan is not None:
        lines += ["", visible(answer.plan.text), _estimate(answer.plan)]
    return "\n".join(lines)


def answer_html(answer: Answer) -> str:
    """The answer for a notebook: SQL highlighted, notes and plan under it, seconds in small."""
    body = _escaped(_refusal(answer)) if answer.refused else sql_html(answer.sql + ";")
    notes = "".join(f"<li>{_escaped(note)}</li>" for note in answer.notes)
    return (
        f'<div class="sqlcoder-answer" data-mime-type="application/sql">{body}'
        + (f'<ul style="{_ROOM}">{notes}</ul>' if notes else "")
        + (_plan_html(answer.plan) if answer.plan is not None else "")
        + f'<small style="opacity:0.7">{_escaped(timing_text(answer, _BRIEF_S))}</small></div>'
    )


def _plan_html(plan: Plan) -> str:
    steps = without_math(html.escape(visible(plan.text)))
    return f'<pre style="{_MONOSPACE}">{steps}</pre><small>{_escaped(_estimate(plan))}</small><br>'


def _estimate(plan: Plan) -> str:
    """What the engine expects, in a line."""
    parts = [] if plan.rows is None else [f"about {plan.rows:,} rows from the largest step"]
    parts += [] if plan.bytes is None else [f"{plan.bytes:,} bytes read"]
    return "Expected: " + ", ".join(parts) + "." if parts else "The engine gives no estimate."


def sql_ansi(sql: str) -> str:
    """SQL in a terminal's sixteen colours."""
    from pygments import highlight
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import SqlLexer

    return str(highlight(sql, SqlLexer(), TerminalFormatter())).rstrip("\n")


def sql_html(sql: str) -> str:
    """SQL in colours, by Pygments with inline styles: notebooks sanitise style sheets away."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import SqlLexer

    formatter = HtmlFormatter(noclasses=True, nobackground=True, nowrap=True, style="default")
    marked = highlight(visible(sql), SqlLexer(), formatter).rstrip("\n")
    return f'<pre style="{_MONOSPACE}">{without_math(marked)}</pre>'


def without_math(marked: str) -> str:
    r"""Escaped HTML in which MathJax finds nothing: it looks for `$`, `\(`, `\[` and `\begin`
    within one piece of text, and an element ends a piece."""
    return re.sub(r"[$\\]", lambda found: f"<span>{found[0]}</span>", marked)


def _escaped(text: str) -> str:
    return without_math(html.escape(visible(text))).replace("\n", "<br>")


def _refusal(answer: Answer) -> str:
    return (
        "The model does not know how to answer this from the schema. "
        "Ask differently, or see what there is: %sqlcoder schema."
    )


def timing_text(answer: Answer, least_s: float = 0.0) -> str:
    """One line: the model and the seconds of each step that took at least `least_s`."""
    seconds = answer.timings
    named = (
        ("schema", "schema"),
        ("load", "load"),
        ("first_token", "first token"),
        ("generate", "generation"),
        ("plan", "plan"),
        ("query", "query"),
    )
    steps = [
        f"{label} {seconds[key]:.2f} s" for key, label in named if seconds.get(key, -1) >= least_s
    ]
    parts = [answer.draft.model, _tokens(answer.draft)]
    if steps:
        parts.append(", ".join(steps))
    return " · ".join(parts)


def _tokens(draft: Draft) -> str:
    return f"{draft.prompt_tokens:,} tokens read, {draft.new_tokens:,} written"


def rows_line(frame: Any) -> str:
    """How many rows there are, never looking complete where it is not."""
    count, columns = frame.shape
    wide = f"{columns} column{'' if columns == 1 else 's'}"
    if frame.attrs.get("truncated"):
        return f"The first {count:,} of more rows × {wide}: the limit was reached."
    return f"{count:,} row{'' if count == 1 else 's'} × {wide}"


def show_frame(frame: Any) -> tuple[str, str]:
    """(text, HTML) of the frame, values escaped."""
    import pandas as pd

    with pd.option_context("display.max_rows", ROWS_SHOWN, "display.max_colwidth", 200):
        shown = frame.map(_plain_value).rename(columns=lambda name: visible(str(name)))
        text = shown.to_string(index=False, max_rows=ROWS_SHOWN) if len(shown) else ""
        table = shown.to_html(
            index=False, max_rows=ROWS_SHOWN, border=0, notebook=True, escape=True
        )
    if not len(shown):
        text = "(no rows) " + ", ".join(str(name) for name in shown.columns)
    line = rows_line(frame)
    table = table.replace("<table ", f'<table style="{_ROOM}" ', 1)
    return f"{text}\n{line}", f"{without_math(table)}<small>{line}</small>"


def _plain_value(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value):,} bytes>"
    return value
