"""What is shown while an answer is being made: progress, then the SQL as it is written.

At most ten updates a second of one thing, and nothing at all for what takes less than a moment.
In a notebook one output area is rewritten; in a terminal one status line is.
"""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from sqlcoder_magic.context import Watcher
from sqlcoder_magic.display.answer import _escaped, sql_html, without_math
from sqlcoder_magic.errors import visible
from sqlcoder_magic.models import Model

UPDATE_EVERY_S = 0.1
BAR_WIDTH = 24


def bar(share: float | None) -> str:
    """A progress bar in characters; empty if the share is not known."""
    if share is None:
        return ""
    share = min(max(share, 0.0), 1.0)
    full = round(BAR_WIDTH * share)
    return "[" + "█" * full + "·" * (BAR_WIDTH - full) + f"] {share:4.0%}"


def settled(text: str) -> str:
    """What of a growing text stays as it is: half a letter and half a fence at its end may not."""
    return text.rstrip("\ufffd`")


class _Paced(Watcher):
    """Lets through one of a kind every `UPDATE_EVERY_S`; a step that is told once is shown."""

    def __init__(self, *, show_prompt: bool = False) -> None:
        self.show_prompt = show_prompt
        self._last: dict[str, float] = {}  # by kind
        self._began = time.monotonic()

    def due(self, kind: str) -> bool:
        now = time.monotonic()
        if now - self._last.get(kind, -UPDATE_EVERY_S) < UPDATE_EVERY_S:
            return False
        self._last[kind] = now
        return True

    def status(self, doing: str, share: float | None) -> str:
        seconds = time.monotonic() - self._began
        return f"{doing} … {bar(share)} {seconds:.0f} s"


class NotebookWatcher(_Paced):
    """One output area, rewritten: status, growing SQL, and at last what `finish` gives it."""

    def __init__(self, *, show_prompt: bool = False) -> None:
        super().__init__(show_prompt=show_prompt)
        self._handle: Any = None
        self._written = ""

    def progress(self, doing: str, share: float | None) -> None:
        if self.due(doing):
            status = self.status(doing, share)
            written = sql_html(self._written) if self._written else ""
            self._put(
                visible(f"{self._written}\n{status}".lstrip()),
                f"{written}<small>{_escaped(status)}</small>",
            )

    def prompt(self, prompt: Any) -> None:
        if self.show_prompt:
            from IPython.display import display

            text = f"{visible(prompt.text)}\n({prompt.tokens:,} tokens)"
            shown = (
                f"<details open><summary>Prompt</summary><pre>{_escaped_pre(text)}</pre></details>"
            )
            show: Any = display  # untyped in IPython
            show({"text/plain": text, "text/html": shown}, raw=True)

    def text(self, text: str) -> None:
        self._written = settled(text)
        if self.due("writing"):
            self._put(visible(self._written), sql_html(self._written))

    def finish(self, plain: str, shown: str) -> None:
        """Replace what was shown by the final output."""
        self._put(plain, shown)

    def stopped(self) -> None:
        """Leave the text, without the step that goes on no more."""
        if self._handle is not None:
            self._put(visible(self._written), sql_html(self._written) if self._written else "")

    def dismiss(self) -> None:
        """Take away what was shown: an error that says all of it comes instead."""
        if self._handle is not None:
            self._put("", "")

    def _put(self, plain: str, shown: str) -> None:
        from IPython.display import display

        bundle = {"text/plain": plain, "text/html": shown}
        if self._handle is None:
            show: Any = display  # untyped in IPython
            self._handle = show(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


class TerminalWatcher(_Paced):
    """A status line on stderr while it is a terminal; the SQL streams to stdout."""

    def __init__(
        self, *, show_prompt: bool = False, out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        super().__init__(show_prompt=show_prompt)
        self.out, self.err = out or sys.stdout, err or sys.stderr
        self.live = self.err.isatty()
        self.streams = self.out.isatty()
        self.written = ""

    def progress(self, doing: str, share: float | None) -> None:
        if self.live and self.due(doing):
            self.err.write(f"\r\x1b[K{visible(self.status(doing, share))}")
            self.err.flush()

    def model(self, model: Model) -> None:
        self.clear()

    def prompt(self, prompt: Any) -> None:
        self.clear()
        if self.show_prompt:
            print(f"{visible(prompt.text)}\n({prompt.tokens:,} tokens)", file=self.out)

    def text(self, text: str) -> None:
        text = settled(text)
        if self.streams and text.startswith(self.written):
            self.out.write(visible(text[len(self.written) :]))
            self.out.flush()
            self.written = text

    def stopped(self) -> None:
        """Wipe the status line."""
        self.clear()

    def dismiss(self) -> None:
        """Wipe the status line."""
        self.clear()

    def clear(self) -> None:
        """Wipe the status line."""
        if self.live:
            self.err.write("\r\x1b[K")
            self.err.flush()


def _escaped_pre(text: str) -> str:
    import html

    return without_math(html.escape(text))
