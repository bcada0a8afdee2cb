"""Rows -> DataFrame, without changing a value.

Names stay as the engine gave them, duplicates too. A column becomes a pandas dtype only where
every value fits it exactly: whole numbers (nullable `Int64` where some are NULL), yes/no,
floats, text, timestamps, durations; all else (Decimal, UUID, dates, arrays, JSON, bytes, whole
numbers beyond 64 bits, mixed zones) stays the Python object that the driver gave.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_INT64 = range(-(2**63), 2**63)
_EXACT_IN_FLOAT = range(-(2**53), 2**53 + 1)


def to_frame(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """A DataFrame of these rows; without rows it still has the columns."""
    import pandas as pd

    by_column = zip(*rows, strict=True) if rows else ((),) * len(columns)
    data = {i: _series([_plain(value) for value in values]) for i, values in enumerate(by_column)}
    frame = pd.DataFrame(data, index=pd.RangeIndex(len(rows)))
    frame.columns = pd.Index(list(columns), dtype=object)
    return frame


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview | bytearray) else value


def _series(values: list[Any]) -> pd.Series[Any]:
    import pandas as pd

    plain: pd.Series[Any] = pd.Series(values, dtype="object")
    dtype = _dtype(values)
    if dtype == "object":
        return plain
    try:
        return plain.infer_objects() if dtype is None else plain.astype(dtype)
    except (OverflowError, ValueError, TypeError):  # a year or zone that pandas has no room for
        return plain


def _dtype(values: list[Any]) -> Any:
    """The dtype that holds these values exactly; None where pandas infers the right one."""
    kinds = {type(value) for value in values if value is not None}
    null = any(value is None for value in values)
    if kinds == {bool}:
        return "boolean" if null else "bool"
    if kinds == {int}:
        if not all(value in _INT64 for value in values if value is not None):
            return "object"
        return "Int64" if null else "int64"
    if kinds == {float}:
        return "float64"
    if kinds == {int, float}:  # SQLite types values, not columns
        whole = (value for value in values if isinstance(value, int))
        return "float64" if all(value in _EXACT_IN_FLOAT for value in whole) else "object"
    if kinds in ({str}, {dt.timedelta}):
        return None
    if kinds == {dt.datetime}:
        zones = {value.tzinfo for value in values if value is not None}
        return None if len(zones) == 1 else "object"
    return "object"
