"""The small shop that bad input is tried on, and the types of the fixtures in `conftest`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlcoder_magic.errors import NL2SQLError

SECRET = "Geheim9Wort"
SHOP = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(40))",
    "CREATE TABLE sales (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), "
    "city VARCHAR(40), amount DECIMAL(9, 2))",
    "INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bo')",
    "INSERT INTO sales VALUES (1, 1, 'Oslo', 1.50), (2, 2, 'Rome', 2.00), (3, 2, 'Rome', 3.00)",
)


@dataclass(frozen=True)
class Shop:
    """A database to ask: `connection` is what a user would hand over, `run` is the user's own."""

    name: str
    connection: Any
    run: Callable[[str], list[Any]]

    def content(self) -> list[Any]:
        """Every row, in order."""
        return [self.run(f"SELECT * FROM {table} ORDER BY 1") for table in ("customers", "sales")]


Told = Callable[[NL2SQLError | None], str]
