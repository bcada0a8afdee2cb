"""Where an answer ends inside a text: at a stop outside quotes."""

from __future__ import annotations


def cut_at_stop(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """(`text` before the first stop outside quotes, True), or (`text`, False)."""
    quote = ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif text.startswith(stops, position):
            return text[:position], True
        elif character in "'\"":
            quote = character
    return text, False
