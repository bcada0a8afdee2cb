"""DataFrames as tables of the embedded DuckDB: seen as they are, or refused with a sentence."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.connection import Database, open_frames
from sqlcoder_magic.errors import OptionError, RunError, SQLRejected
from sqlcoder_magic.execute import run_sql
from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.types import CheckedSQL


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    """What the guarded run gives for SQL that was checked against all of the database's tables."""
    frame = run_sql(check_sql(sql, read_schema(database)), database)
    return list(frame.itertuples(index=False, name=None))


def refusal(names: list[str], namespace: Mapping[str, Any]) -> OptionError:
    with pytest.raises(OptionError) as caught:
        open_frames(names, namespace)
    assert caught.value.fix
    return caught.value


def test_pandas_polars_and_arrow_join() -> None:
    namespace = {
        "orders": pd.DataFrame({"id": [1, 2, 3], "customer_id": [1, 1, 2], "paid": [5.0, 6, None]}),
        "customers": pl.DataFrame({"id": [1, 2], "name": ["Ada", "Bo"], "city_id": [7, 8]}),
        "cities": pa.table({"id": [7, 8], "city": ["Oslo", "Bern"]}),
    }
    database = open_frames(list(namespace), namespace)
    schema = read_schema(database)
    assert {t.full_name: [c.name for c in t.columns] for t in schema.tables} == {
        "orders": ["id", "customer_id", "paid"],
        "customers": ["id", "name", "city_id"],
        "cities": ["id", "city"],
    }
    found = rows(
        database,
        "SELECT city, name, SUM(paid) FROM orders JOIN customers ON customer_id = customers.id "
        "JOIN cities ON city_id = cities.id GROUP BY city, name ORDER BY city",
    )
    assert found[1] == ("Oslo", "Ada", 11.0)
    assert found[0][:2] == ("Bern", "Bo")


def test_a_changed_frame_is_seen_and_a_deleted_one_goes() -> None:
    namespace: dict[str, Any] = {"one": pd.DataFrame({"a": [1]}), "two": pd.DataFrame({"b": [2]})}
    database = open_frames(["one", "two"], namespace)
    assert rows(database, "SELECT a FROM one") == [(1,)]
    namespace["one"]["more"] = [5]
    namespace["two"] = pd.DataFrame({"c": ["x", "y"]})
    gc.collect()
    database = open_frames(["one"], namespace)
    assert rows(database, "SELECT a, more FROM one") == [(1, 5)]
    assert rows(database, "SELECT c FROM two ORDER BY c") == [("x",), ("y",)]  # kept up as well
    namespace["two"] = 5
    database = open_frames(["one"], namespace)
    assert [table.name for table in read_schema(database).tables] == ["one"]


def test_the_frame_lives_as_long_as_its_table() -> None:
    namespace = {"big": pd.DataFrame({"a": range(100_000)})}
    database = open_frames(["big"], namespace)
    namespace.clear()
    gc.collect()
    assert rows(database, "SELECT SUM(a) FROM big") == [(4999950000,)]


def test_nothing_is_copied() -> None:
    """A change of the frame's own memory shows without registering it again."""
    import numpy as np

    values = np.zeros(10)
    database = open_frames(["small"], {"small": pd.DataFrame({"a": values}, copy=False)})
    values[3] = 7.0
    assert rows(database, "SELECT MAX(a) FROM small") == [(7.0,)]


def test_only_the_named_frames_can_be_read() -> None:
    """Not by the check, not by the guard, and not by the engine itself."""
    import duckdb

    secret = pd.DataFrame({"password": ["hunter2"]})
    namespace = {"secret": secret, "open_one": pd.DataFrame({"a": [1]})}
    open_frames(["secret"], namespace)  # an earlier question's
    database = open_frames(["open_one"], namespace)
    schema = read_schema(database, tables=["open_one"])
    with pytest.raises(SQLRejected):
        check_sql("SELECT * FROM secret", schema)
    good = check_sql("SELECT a FROM open_one", schema)
    forged = CheckedSQL("SELECT * FROM secret", "duckdb", good.tables, seal=good.seal)
    with pytest.raises(RunError, match="none of the checked tables"):
        run_sql(forged, database)
    other = namespace["open_one"]
    assert other is not None
    with pytest.raises(duckdb.CatalogException):
        database.native.cursor().execute("SELECT * FROM other").fetchall()
    with pytest.raises(duckdb.PermissionException):
        database.native.cursor().execute("SELECT * FROM read_text('/etc/passwd')").fetchall()


def test_a_named_index_becomes_columns() -> None:
    sales = pd.DataFrame({"city": ["Oslo", "Bern", "Oslo"], "net": [1, 2, 3]})
    database = open_frames(["by_city"], {"by_city": sales.groupby("city").sum()})
    assert rows(database, "SELECT city, net FROM by_city ORDER BY city") == [
        ("Bern", 2),
        ("Oslo", 4),
    ]


def test_names_that_are_no_frames() -> None:
    namespace = {
        "orders": pd.DataFrame({"a": [1]}),
        "number": 5,
        "series": pd.Series([1], name="a"),
        "lazy": pl.LazyFrame({"a": [1]}),
        "_hidden": pd.DataFrame({"a": [1]}),
    }
    error = refusal(["order"], namespace)
    assert error.message == "There is no variable called 'order'."
    assert error.fix == "Nearest: orders."
    assert refusal(["zzz"], namespace).fix == "DataFrames here: orders."
    assert "is of type int, not a DataFrame" in refusal(["number"], namespace).message
    assert "series.to_frame()" in refusal(["series"], namespace).fix
    assert "lazy.collect()" in refusal(["lazy"], namespace).fix
    assert "no DataFrame in this notebook" in refusal(["x"], {}).fix


BAD_FRAMES = {
    "not text: 1, ('a', 'b')": pd.DataFrame(
        [[1, 2]], columns=pd.Index([1, ("a", "b")], dtype=object)
    ),
    "not text: ('a', 'b')": pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
    "not text: ''": pd.DataFrame([[1, 2]], columns=["", "b"]),
    "told apart in SQL: 'x' and 'x'": pd.DataFrame([[1, 2]], columns=["x", "x"]),
    "told apart in SQL: 'ab' and 'aB'": pd.DataFrame([[1, 2]], columns=["ab", "aB"]),
    "mixes values of types int, str": pd.DataFrame({"a": pd.Series([1, "x"], dtype=object)}),
    "mixes values of types dict, list": pd.DataFrame({"a": [{"b": 1}, [1]]}),
    "has no columns": pd.DataFrame(),
    "cannot read the DataFrame bad": pd.DataFrame({"a": pd.period_range("2020", periods=2)}),
    "told apart in SQL: 'y' and 'y'": pa.table([[1], [2]], names=["y", "y"]),
}


@pytest.mark.parametrize("said", BAD_FRAMES)
def test_frames_that_make_no_table(said: str) -> None:
    assert said in refusal(["bad"], {"bad": BAD_FRAMES[said]}).message


def test_two_frames_whose_names_differ_by_case() -> None:
    frame = pd.DataFrame({"a": [1]})
    assert (
        "'Sales' and 'sales'"
        in refusal(["Sales", "sales"], {"Sales": frame, "sales": frame}).message
    )


def test_objects_of_one_type_are_a_table() -> None:
    frame = pd.DataFrame({"s": pd.Series(["x", None], dtype=object), "l": [[1, 2], [3]]})
    frame["n"] = pd.Series([1, 2.5], dtype=object)
    database = open_frames(["fine"], {"fine": frame})
    assert rows(database, "SELECT s, n FROM fine WHERE s IS NOT NULL") == [("x", 1.0)]


def test_a_closed_engine_is_made_anew() -> None:
    namespace = {"again": pd.DataFrame({"a": [1]})}
    open_frames(["again"], namespace).native.close()
    assert rows(open_frames(["again"], namespace), "SELECT a FROM again") == [(1,)]
