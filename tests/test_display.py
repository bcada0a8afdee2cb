"""What is shown: everything from a model or a database is inert, and nothing looks complete
that is not."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import pandas as pd
import pytest

from sqlcoder_magic import Answer, Draft, Question
from sqlcoder_magic.display import (
    NotebookWatcher,
    TerminalWatcher,
    answer_html,
    answer_text,
    show_frame,
)
from sqlcoder_magic.display.answer import rows_line, sql_html
from sqlcoder_magic.display.live import bar
from sqlcoder_magic.types import Prompt

DRAFT = Draft("SELECT 1", "fake", 10, 2, 1.5, 0.5)
HOSTILE = "<img src=x onerror=alert(1)> $x$ \x1b[31mred\x1b[0m \u202etxt"


def answer(sql: str = "SELECT 1", **more: object) -> Answer:
    return Answer(Question("q"), sql, None, None, DRAFT, **more)  # type: ignore[arg-type]


def inert(shown: str) -> None:
    """No markup of the hostile text, no escape sequence, no pair of bare dollars."""
    assert "<img" not in shown
    assert "\x1b" not in shown and "\u202e" not in shown
    assert not re.search(r"\$[^<]*\$", shown)


def test_sql_is_escaped_and_highlighted() -> None:
    shown = answer_html(answer(f"SELECT '{HOSTILE}' AS a", notes=(HOSTILE,)))
    inert(shown)
    assert "&lt;img" in shown and "<span style=" in shown
    text = answer_text(answer(f"SELECT '{HOSTILE}'", notes=(HOSTILE,)))
    assert "\x1b" not in text and "\\x1b[31m" in text


def test_a_terminal_gets_colours_and_nothing_else() -> None:
    text = answer_text(answer(f"SELECT '{HOSTILE}'"), colours=True)
    assert "\x1b[" in text  # ours
    assert "\x1b[31mred" not in text and "\\x1b[31mred" in text  # not theirs
    assert re.sub(r"\x1b\[[\d;]*m", "", text) == answer_text(answer(f"SELECT '{HOSTILE}'"))


def test_values_and_names_of_columns_are_escaped() -> None:
    frame = pd.DataFrame({HOSTILE: [HOSTILE, "=cmd()|' /C calc'!A0"]})
    text, shown = show_frame(frame)
    inert(shown)
    assert "\x1b" not in text and "\u202e" not in text


def test_binary_values_show_their_length() -> None:
    text, shown = show_frame(pd.DataFrame({"a": [b"\x00" * 2048, None]}))
    assert "<2,048 bytes>" in text and "&lt;2,048 bytes&gt;" in shown


def test_a_cut_result_never_looks_complete() -> None:
    frame = pd.DataFrame({"a": range(3)})
    assert rows_line(frame) == "3 rows × 1 column"
    frame.attrs["truncated"] = True
    assert rows_line(frame).startswith("The first 3 of more rows")
    assert rows_line(pd.DataFrame({"a": [1]})) == "1 row × 1 column"


def test_an_empty_result_keeps_its_columns() -> None:
    text, shown = show_frame(pd.DataFrame({"city": [], "n": []}))
    assert "(no rows) city, n" in text and "<th>city</th>" in shown


def test_wide_and_long_results_are_shortened_on_screen_only() -> None:
    frame = pd.DataFrame({f"c{i}": range(500) for i in range(3)})
    text, _ = show_frame(frame)
    assert len(text.splitlines()) < 80 and "500 rows" in text


def test_the_times_and_the_model_are_told() -> None:
    shown = answer_html(answer(timings={"load": 1.0, "generate": 1.5, "first_token": 0.5}))
    assert "load 1.00 s, first token 0.50 s, generation 1.50 s" in shown and "fake" in shown


def test_an_honest_no_points_to_the_schema() -> None:
    assert "%sqlcoder schema" in answer_text(answer("", refused=True))
    assert "does not know" in answer_html(answer("", refused=True))


@pytest.mark.parametrize(
    ("share", "shown"),
    [(None, ""), (0.0, "0%"), (0.5, "50%"), (1.0, "100%"), (7.0, "100%"), (-1.0, "0%")],
)
def test_bars(share: float | None, shown: str) -> None:
    assert shown in bar(share) and len(bar(share)) <= 31


def test_sql_keeps_its_lines() -> None:
    assert "\n" in sql_html("SELECT 1\nFROM t")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_streams_each_piece_once() -> None:
    out, err = Terminal(), Terminal()
    watcher = TerminalWatcher(out=out, err=err)
    for text in ("SELECT", "SELECT 1", "SELECT 1\x1b[2J"):
        watcher.text(text)
    assert out.getvalue() == "SELECT 1\\x1b[2J"
    watcher.progress("loading", 0.5)
    watcher.clear()
    assert "loading" in err.getvalue() and err.getvalue().endswith("\r\x1b[K")


def test_a_letter_or_a_fence_in_two_tokens_is_shown_once_it_is_whole() -> None:
    out = Terminal()
    watcher = TerminalWatcher(out=out, err=Terminal())
    for text in ("'Caf\ufffd", "'Café", "'Café'\n`", "'Café'\n``", "'Café'\n"):
        watcher.text(text)
    assert out.getvalue() == "'Café'\n"
    watcher.text("'Café'\n`a` + 1")  # a name in MySQL's quotes
    assert out.getvalue() == "'Café'\n`a` + 1"


class Shown:
    """Stands for IPython's display: when was what shown, and in how many output areas."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.areas = 0.0, 0
        self.updates: list[tuple[float, dict[str, str]]] = []
        monkeypatch.setattr("IPython.display.display", self.display)
        monkeypatch.setattr("sqlcoder_magic.display.live.time.monotonic", lambda: self.now)

    def display(self, bundle: dict[str, str], **_: object) -> Shown:
        self.areas += 1
        self.update(bundle)
        return self

    def update(self, bundle: dict[str, str], **_: object) -> None:
        self.updates.append((self.now, bundle))


def test_a_cell_is_updated_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch)
    watcher = NotebookWatcher()
    shown.now, text = 100.0, ""
    for number in range(500):  # 250 tokens a second, two seconds long
        text += f"t{number} "
        watcher.text(text)
        shown.now += 0.004
    times = [when for when, _ in shown.updates]
    assert 15 <= len(times) <= 21 and shown.areas == 1
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(times))
    texts = [bundle["text/plain"] for _, bundle in shown.updates]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert texts[0] == "t0 "  # the first token at once
    watcher.finish("all", "<b>all</b>")
    assert shown.updates[-1][1] == {"text/plain": "all", "text/html": "<b>all</b>"}


def test_what_was_written_is_inert_while_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch)
    watcher = NotebookWatcher()
    watcher.text(HOSTILE)
    watcher.progress(HOSTILE, 0.5)
    for _, bundle in shown.updates:
        inert(bundle["text/html"])
        assert "\x1b" not in bundle["text/plain"]


def test_progress_and_text_together_keep_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(monkeypatch)
    watcher = NotebookWatcher()
    shown.now = 100.0
    for number in range(100):
        watcher.progress("looking for a better answer", None)
        watcher.text(f"SELECT {number}")
        shown.now += 0.01
    assert len(shown.updates) <= 2 * 11  # ten a second of each of the two


def test_a_pipe_gets_no_escape_sequences() -> None:
    out, err = io.StringIO(), io.StringIO()
    watcher = TerminalWatcher(out=out, err=err, show_prompt=True)
    watcher.progress("loading", 0.5)
    watcher.text("SELECT 1")
    watcher.prompt(Prompt("CREATE TABLE t\n", (), 3))
    assert err.getvalue() == ""
    assert out.getvalue() == "CREATE TABLE t\n\n(3 tokens)\n"


def test_errors_show_control_characters_spelled_out() -> None:
    from sqlcoder_magic import NL2SQLError

    error = NL2SQLError("bad \x1b[31mname\u202e", fix="do\nthis")
    assert error._render_traceback_() == ["bad \\x1b[31mname\\u202e", "do", "this"]
