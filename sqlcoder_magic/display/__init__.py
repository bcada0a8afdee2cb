"""Rich output: answers, progress while one is made, and the schema as a tree or a picture."""

from sqlcoder_magic.display.answer import answer_html, answer_text, show_frame, timing_text
from sqlcoder_magic.display.diagram import diagram_mermaid, diagram_svg
from sqlcoder_magic.display.live import NotebookWatcher, TerminalWatcher
from sqlcoder_magic.display.schema import schema_html, schema_text, show_bundle

__all__ = [
    "NotebookWatcher",
    "TerminalWatcher",
    "answer_html",
    "answer_text",
    "diagram_mermaid",
    "diagram_svg",
    "schema_html",
    "schema_text",
    "show_bundle",
    "show_frame",
    "timing_text",
]
