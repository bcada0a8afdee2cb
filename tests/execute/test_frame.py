"""Rows -> DataFrame: no value changes on the way."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from sqlcoder_magic.execute.frame import to_frame

UTC = dt.UTC
BERLIN = ZoneInfo("Europe/Berlin")


def column(*values: Any) -> pd.Series[Any]:
    return to_frame(["v"], [(value,) for value in values])["v"]


@pytest.mark.parametrize(
    "values, dtype",
    [
        ((1, 2), "int64"),
        ((1, None), "Int64"),
        ((2**63 - 1, None), "Int64"),
        ((2**63, 1), "object"),
        ((-(2**63) - 1, None), "object"),
        ((True, False), "bool"),
        ((True, None), "boolean"),
        ((True, 1), "object"),
        ((1.5, None), "float64"),
        ((1, 2.5), "float64"),
        ((2**53 + 1, 2.5), "object"),
        (("a", None), "str"),
        ((b"a", None), "object"),
        ((Decimal("1.10"),), "object"),
        ((dt.date(2020, 1, 1),), "object"),
        ((dt.date(9999, 12, 31), None), "object"),
        ((dt.datetime(2020, 1, 1),), "datetime64[us]"),
        ((dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)), "datetime64[us]"),
        ((dt.datetime(2020, 1, 1, tzinfo=UTC),), "datetime64[us, UTC]"),
        ((dt.datetime(2020, 1, 1, tzinfo=BERLIN),), "datetime64[us, Europe/Berlin]"),
        ((dt.datetime(2020, 1, 1, tzinfo=UTC), dt.datetime(2020, 1, 1)), "object"),
        ((dt.timedelta(days=1), None), "timedelta64[us]"),
        ((dt.timedelta.max,), "object"),
        (([1, 2], None), "object"),
        (({"a": 1},), "object"),
        ((1, "a"), "object"),
        ((None, None), "object"),
        ((), "object"),
    ],
)
def test_the_dtype_holds_every_value(values: tuple[Any, ...], dtype: str) -> None:
    series = column(*values)
    assert str(series.dtype) == dtype
    for given, kept in zip(values, series, strict=True):
        if given is None:
            assert kept is None or pd.isna(kept)
        else:
            assert kept == given


def test_the_first_and_the_last_moment_of_a_zone() -> None:
    values = [dt.datetime(1, 1, 1, tzinfo=UTC), dt.datetime(9999, 12, 31, tzinfo=UTC), None]
    assert column(*values).isna().tolist() == [False, False, True]


def test_a_number_that_is_none_of_the_numbers_stays_apart_from_zero() -> None:
    assert math.isnan(column(math.nan, 1.0)[0])


def test_bytes_of_any_kind_become_bytes() -> None:
    assert column(memoryview(b"ab"), bytearray(b"c")).tolist() == [b"ab", b"c"]


def test_names_are_kept_as_they_are() -> None:
    names = ["a", "a", "", "ü 😀", "a"]
    frame = to_frame(names, [(1, 2, 3, 4, 5)])
    assert list(frame.columns) == names
    assert frame.iloc[0].tolist() == [1, 2, 3, 4, 5]
    assert "a" in frame._repr_html_()  # duplicate names can be shown


def test_shapes() -> None:
    assert to_frame(["a", "b"], []).shape == (0, 2)
    assert to_frame([], [(), ()]).shape == (2, 0)
    assert to_frame([], []).shape == (0, 0)
    assert to_frame([f"c{i}" for i in range(1600)], [tuple(range(1600))]).shape == (1, 1600)
