"""DataFrames of the notebook (pandas, Polars, Arrow) as tables of one embedded DuckDB.

Nothing is copied: each table is a view over the frame's own memory, made anew before each
question, so that a changed or replaced variable is seen. Those of earlier questions are kept up
as well, so that their cells still run, until the variable is gone. A frame that DuckDB could
only read by guessing (names that are no text or that differ by case alone, values of mixed
types) is refused with a sentence. Not covered: which of them a question may read; the caller
names them, and the check lets nothing else through.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.embedded.engine import fresh_engine, is_open
from sqlcoder_magic.errors import NL2SQLError, OptionError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ARROW = ("polars", "pyarrow")
NAMES_SHOWN = 5  # of columns or variables, in a sentence

_engine: DuckDBPyConnection | None = None


def connect_frames(names: Sequence[str], namespace: Mapping[str, Any]) -> DuckDBPyConnection:
    """The DuckDB in which the variables `names` are tables, as they are now.

    Raises OptionError for a name that is no DataFrame, and for a frame that makes no table.
    """
    global _engine
    frames = {name: _frame(name, namespace) for name in names}
    _require_distinct(list(frames), "The frames")
    if not is_open(_engine):
        _engine = fresh_engine(external=False)
    assert _engine is not None
    with _engine.cursor() as cursor:  # an unfinished result of the user's does not block it
        for name in _registered(cursor):
            if name.casefold() not in {one.casefold() for one in frames}:
                _keep_up(cursor, name, namespace)
        for name, frame in frames.items():
            _register(cursor, name, frame)
    return _engine


def _registered(cursor: DuckDBPyConnection) -> list[str]:
    rows = cursor.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    return [str(row[0]) for row in rows]


def _keep_up(cursor: DuckDBPyConnection, name: str, namespace: Mapping[str, Any]) -> None:
    """A frame of an earlier question: as its variable is now, or gone with it."""
    try:
        _register(cursor, name, _frame(name, namespace))
    except NL2SQLError:
        cursor.execute(f'DROP VIEW "{name}"')  # a Python name: it holds no quote


def _register(cursor: DuckDBPyConnection, name: str, frame: Any) -> None:
    import duckdb

    pandas = _library(frame) == "pandas"
    names = list(frame.columns) if pandas else _arrow_names(frame)
    _require_names(name, names)
    if pandas:
        frame = _with_index(frame)
        _require_one_type_each(name, frame)
    try:
        relation = cursor.from_df(frame) if pandas else cursor.from_arrow(frame)
        relation.create_view(name, replace=True)
    except duckdb.Error as error:
        said = str(error).strip().splitlines()[0].removesuffix(".")
        problem = OptionError(
            f"DuckDB cannot read the DataFrame {name}: {said}.", fix=_how_to_read(said)
        )
    else:
        return
    raise problem


def _how_to_read(said: str) -> str:
    if "pyarrow" in said:
        return "%pip install pyarrow"
    return "Convert the column first, say with .astype(str), or leave it out."


# ---------------------------------------------------------------- what is a frame


def _library(value: Any) -> str:
    """`pandas`, `polars` or `pyarrow` if the value is one of its frames; else nothing.

    A library that nobody has imported has made no frame, so none is imported here.
    """
    kinds = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"))
    for library, kind in kinds:
        known = getattr(sys.modules.get(library), kind, None)
        if known is not None and isinstance(value, known):
            return library
    return ""


def _frame(name: str, namespace: Mapping[str, Any]) -> Any:
    value = namespace.get(name)
    if _library(value):
        return value
    known = [n for n, one in namespace.items() if not n.startswith("_") and _library(one)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    shown = ", ".join(near or known[-NAMES_SHOWN:])
    if shown:
        fix = f"{'Nearest' if near else 'DataFrames here'}: {shown}."
    else:
        fix = "There is no DataFrame in this notebook yet; make one: pandas.read_csv(...)."
    if name not in namespace:
        raise OptionError(f"There is no variable called {name!r}.", fix=fix)
    kind = type(value).__name__
    to_frame = {"Series": f"{name} = {name}.to_frame()", "LazyFrame": f"{name} = {name}.collect()"}
    if kind in to_frame:
        fix = f"Make it one: {to_frame[kind]}."
    raise OptionError(f"{name} is of type {kind}, not a DataFrame.", fix=fix)


def _arrow_names(frame: Any) -> list[Any]:
    names = frame.column_names if _library(frame) == "pyarrow" else frame.columns
    return list(names)


# ---------------------------------------------------------------- what makes no table


def _require_names(name: str, columns: list[Any]) -> None:
    if not columns:
        raise OptionError(f"The DataFrame {name} has no columns.", fix="Fill it first.")
    odd = [column for column in columns if not isinstance(column, str) or not column.strip()]
    if odd:
        raise OptionError(
            f"Column names of {name} are not text: {_some(map(repr, odd))}.",
            fix="Name them first: df.columns = ['a', 'b', …] (for several levels of names: "
            "df.columns = ['_'.join(c) for c in df.columns]).",
        )
    _require_distinct(columns, f"Columns of {name}")


def _require_distinct(names: list[str], whose: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        key = name.casefold()
        if key in seen:
            raise OptionError(
                f"{whose} cannot be told apart in SQL: {seen[key]!r} and {name!r}.",
                fix="Rename one; SQL does not distinguish upper and lower case.",
            )
        seen[key] = name


def _with_index(frame: Any) -> Any:
    """A named index is data (after `groupby`, say): as columns, where their names are free."""
    names = list(frame.index.names)
    columns = {str(column).casefold() for column in frame.columns}
    if all(isinstance(name, str) and name.casefold() not in columns for name in names):
        return frame.reset_index()
    return frame


def _require_one_type_each(name: str, frame: Any) -> None:
    """Refuse a column of objects whose values differ in type: DuckDB would guess or make text."""
    from pandas.api.types import infer_dtype

    for column, dtype in frame.dtypes.items():
        if dtype.kind != "O" or not infer_dtype(frame[column]).startswith("mixed"):
            continue
        kinds = sorted({type(value).__name__ for value in frame[column].dropna()})
        if len(kinds) > 1 and set(kinds) != {"int", "float"}:
            raise OptionError(
                f"The column {column!r} of {name} mixes values of types {_some(kinds)}.",
                fix=f"Make them one: {name}[{column!r}] = {name}[{column!r}].astype(str).",
            )


def _some(names: Any) -> str:
    """The first few."""
    listed = list(names)
    more = len(listed) - NAMES_SHOWN
    return ", ".join(listed[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
