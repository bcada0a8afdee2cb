"""Put the SQL into a new cell of the notebook, as a `%%sql` cell of jupysql.

Knows: `set_next_input` and what it does in each front end, what was inserted for which cell
(a re-run whose SQL is unchanged adds no second cell), jupysql's connections, and what jupysql
would misread in SQL or in a comment. Does not know: whether a front end obeyed; nbconvert and
papermill ignore the request, so the SQL is always shown in the output as well (`display`).
"""

from __future__ import annotations

import atexit
import re
from enum import Enum
from typing import Any

from sqlcoder_magic.connection import Database

COMMENT_CAP = 200  # characters of the question in the first line


class Placed(Enum):
    """What became of the request for a cell."""

    BELOW = "in a new cell below"
    REPLACED = "in place of the question"
    UNCHANGED = "unchanged, so no second cell"


_inserted: dict[str, str] = {}  # cell id -> the text inserted for it


def insert_cell(shell: Any, text: str, *, replace: bool = False, remember: bool = True) -> Placed:
    """Ask the front end for a cell with `text`; at most one an execution takes effect.

    JupyterLab drops the request of a cell that ends in an error: then, `remember` is False.
    """
    key = _cell_id(shell)
    if replace:
        shell.set_next_input(text, replace=True)
        return Placed.REPLACED
    if key and _inserted.get(key) == text:
        return Placed.UNCHANGED
    shell.set_next_input(text, replace=False)
    if key and remember:
        _inserted[key] = text
    return Placed.BELOW


def forget_cells() -> None:
    """Forget what was inserted where."""
    _inserted.clear()


def _cell_id(shell: Any) -> str:
    """The front end's id of the executing cell; empty where it tells none (terminals)."""
    parent = getattr(shell, "parent_header", None)
    if parent is None:
        return ""
    getter = getattr(shell, "get_parent", None)
    message = getter() if getter is not None else parent
    metadata = message.get("metadata", {}) if isinstance(message, dict) else {}
    return str(metadata.get("cellId", ""))


def sql_cell(sql: str, question: str, database: Database, target: str) -> str:
    """The text of the cell: `%%sql target`, the question as a comment, the SQL."""
    head = f"%%sql {target}".rstrip()
    return f"{head}\n{_comment(question)}\n{_tame_sql(sql, native=database.native is not None)}"


def edited_sql(shell: Any, question: str) -> str:
    """The SQL of the cell inserted for this question, as it was when it was last executed since
    anything was asked; empty if it was not.
    """
    manager = getattr(shell, "history_manager", None)
    for text in reversed(getattr(manager, "input_hist_raw", [])):
        head, _, rest = text.strip().partition("\n")
        comment, _, sql = rest.partition("\n")
        if head.split()[:1] == ["%%sql"] and comment.strip() == _comment(question):
            return re.sub(r"\{% (?:end)?raw %\}", "", sql).replace("\\:", ":").strip()
        if "nl2sql" in text:
            break  # what was executed before belongs to an earlier answer
    return ""


def _comment(question: str) -> str:
    """The question as the first line of its cell."""
    text = " ".join(question.split())
    if len(text) > COMMENT_CAP:
        text = text[: COMMENT_CAP - 1] + "…"
    return f"-- {_tame_comment(text)}"


def _tame_comment(text: str) -> str:
    """Without what jupysql reads even in comments: `{{`, `{%`, `:name`, `name <<`, `;`."""
    text = re.sub(r"\{(?=[{%#])", "{ ", text)
    text = re.sub(r":(?=\w)", ": ", text)
    return text.replace("<<", "< <").replace(";", ",").replace("\\", "/")


def _tame_sql(sql: str, *, native: bool) -> str:
    """The SQL, with what jupysql would take for a template or a parameter marked as text."""
    if not native:  # on a native DuckDB connection jupysql looks for no parameters
        sql = re.sub(r"(?<![:\w\\]):(?=\w)(?!\w*:)", r"\\:", sql)
    if re.search(r"\{[{%#]", sql):
        return "{% raw %}\n" + sql + "\n{% endraw %}"
    return sql


def jupysql_target(shell: Any, database: Database) -> str:
    """What follows `%%sql` to reach `database`; registers it with jupysql if need be.

    Empty if it is jupysql's current connection. The user's current connection stays current.
    """
    manager = load_jupysql(shell)
    for key, known in manager.connections.items():
        if _same(known, database):
            return "" if known is manager.current else str(key)
    current = manager.current
    alias = _free_alias(database, set(manager.connections))
    register(manager, database, alias)
    if current is None:
        return ""
    manager.current = current
    return alias


def make_current(manager: Any, database: Database, alias: str = "") -> None:
    """Make `database` jupysql's current connection, registering it if it is new there."""
    for known in manager.connections.values():
        if _same(known, database) and (not alias or known.alias == alias):
            manager.current = known
            return
    register(manager, database, alias or _free_alias(database, set(manager.connections)))


def register(manager: Any, database: Database, alias: str) -> None:
    """Make `database` known to jupysql, and its current connection."""
    source = database.native if database.native is not None else database.any_engine
    manager.set(source, displaycon=False, alias=alias)


def load_jupysql(shell: Any) -> Any:
    """jupysql's ConnectionManager, its magics loaded. The first time costs a second or two."""
    fresh = "sql" not in shell.extension_manager.loaded
    if fresh:
        from IPython.utils.capture import capture_output

        with capture_output():  # advice about optional packages
            shell.extension_manager.load_extension("sql")
    from sql.connection import ConnectionManager

    if fresh:  # at the end it would print, which raises in a terminal whose IPython is gone
        atexit.unregister(ConnectionManager.close_all)
        atexit.register(ConnectionManager.close_all)
    return ConnectionManager


def _same(known: Any, database: Database) -> bool:
    inner = getattr(known, "_connection", None)  # SQLAlchemy's or the driver's own
    if database.native is not None:
        return inner is database.native
    engine = getattr(inner, "engine", None)
    return engine is not None and engine is database.any_engine


def _free_alias(database: Database, taken: set[str]) -> str:
    """A short name made of the database's own, without anything secret in it."""
    engine = database.any_engine
    name = database.alias or (str(engine.url.database or "") if engine is not None else "")
    name = name or database.engine_name
    stem = re.sub(r"\W+", "_", re.split(r"[\\/]", name)[-1].split("?")[0].split(".")[0])
    stem = stem.strip("_") or database.engine_name
    alias, number = stem, 2
    while alias in taken:
        alias, number = f"{stem}_{number}", number + 1
    return alias
