"""What the tests of `schema/` share: a table by its name, and counting statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sqlcoder_magic.connection import Session
from sqlcoder_magic.types import Column, Schema, Table


def table(schema: Schema, full_name: str) -> Table:
    """The table of this full name."""
    return next(t for t in schema.tables if t.full_name == full_name)


def column(schema: Schema, full_name: str, name: str) -> Column:
    """The column of this name in the table of this full name."""
    return next(c for c in table(schema, full_name).columns if c.name == name)


def names(schema: Schema) -> list[str]:
    """Every table's full name."""
    return [t.full_name for t in schema.tables]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that go through `Session.fetch` meanwhile."""
    sent: list[str] = []
    fetch = Session.fetch

    def counting(self: Session, sql: str, *rest: object) -> list[tuple[object, ...]]:
        sent.append(sql)
        return fetch(self, sql, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Session, "fetch", counting)
        yield sent
