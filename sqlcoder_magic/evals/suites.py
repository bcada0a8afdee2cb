"""The suites: which questions, over which databases, with which known answers.

Covers the project's own questions, and files in the layout of `text2sql_dev.json.xz`:
`{"schemas": {db: {"tables": [{"name", "columns": [{"name", "type", "primary_key", "samples"}]}],
"joins": [[table, column, other, other_column]]}}, "questions": [{"db", "question", "sql",
"sql_sqlite"}]}`, with one `db.sqlite` each. Not covered: running them, and the published
layouts of Defog and Spider (`layouts`).
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.evals.hardness import classify
from sqlcoder_magic.evals.rules import expand_gold
from sqlcoder_magic.sample import QUESTIONS, SampleQuestion, path_of
from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

OWN = {"sample": ("shop",), "clinic": ("clinic",), "own": ("shop", "clinic")}


@dataclass(frozen=True)
class Item:
    """One question. `golds` are its alternatives in SQLite's dialect, expanded.

    `golds_postgres` are the same in PostgreSQL's, empty if nobody wrote any; `instructions` go
    with the question.
    """

    id: str
    db: str
    category: str
    hardness: str
    question: str
    golds: tuple[str, ...]
    golds_postgres: tuple[str, ...] = ()
    instructions: str = ""


@dataclass(frozen=True)
class Suite:
    """Questions with their databases: a SQLite file and a Schema by name.

    `check` says whether the guard stands between a draft and its run unless the caller decides
    otherwise: a user's way for the own questions, none for published benchmarks.
    """

    name: str
    items: tuple[Item, ...]
    databases: Mapping[str, Path]
    schemas: Mapping[str, Schema]
    check: bool

    def first(self, limit: int | None) -> Suite:
        """The suite cut to so many questions, spread evenly over it; None: all of them."""
        if limit is None or limit >= len(self.items):
            return self
        step = len(self.items) / limit
        return replace(self, items=tuple(self.items[int(i * step)] for i in range(limit)))


def open_suite(name: str, databases: str | None = None) -> Suite:
    """The suite called so ("sample", "clinic", "own"), or the one in that file.

    A .csv is read as Defog's sql-eval, a JSON list with a tables.json beside it as Spider's.
    `databases` is the directory of the SQLite files, where it is not the layout's own.
    """
    from sqlcoder_magic.evals import layouts

    if name in OWN:
        return own_suite(name)
    path = Path(name).expanduser()
    if not path.is_file():
        raise OptionError(
            f"There is no suite and no file called {name!r}.",
            fix="Suites: " + ", ".join(OWN) + ", or the path of a .json, .json.xz or .csv file.",
        )
    folder = Path(databases).expanduser() if databases else None
    if path.suffix == ".csv":
        return layouts.defog_suite(path, folder or path.parent / "databases")
    if path.suffix == ".json" and (path.parent / "tables.json").is_file() and _is_list(path):
        return layouts.spider_suite(path, folder or path.parent / "database")
    return file_suite(path, folder or path.parent / "dev_databases")


def _is_list(path: Path) -> bool:
    """Whether a JSON file holds a list: the first letter tells."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(1_000).lstrip("\ufeff \t\r\n").startswith("[")


def own_suite(name: str) -> Suite:
    """The project's questions about the shop ("sample"), the clinic, or both ("own")."""
    from sqlcoder_magic.schema import read_schema

    chosen = [question for question in QUESTIONS if question.db in OWN[name]]
    paths = {question.db: path_of(question) for question in chosen}
    schemas = {db: read_schema(f"sqlite:///{path}") for db, path in paths.items()}
    return Suite(name, tuple(_own_item(question) for question in chosen), paths, schemas, True)


def _own_item(question: SampleQuestion) -> Item:
    return Item(
        question.id,
        question.db,
        question.category,
        question.hardness,
        question.question,
        tuple(one for sql in question.sql_sqlite for one in expand_gold(sql)),
        tuple(one for sql in question.sql for one in expand_gold(sql)),
    )


def file_suite(path: Path, databases: Path) -> Suite:
    """A suite from a JSON file, compressed or not. Raises OptionError for another layout."""
    try:
        raw = path.read_bytes()
        data = json.loads(lzma.decompress(raw) if path.suffix == ".xz" else raw)
        items = tuple(_file_item(index, entry) for index, entry in enumerate(data["questions"]))
        schemas = {item.db: _schema(data["schemas"][item.db]) for item in items}
    except (ValueError, lzma.LZMAError, KeyError, TypeError, OSError) as error:
        raise OptionError(
            f"{path} is not a suite: {error!r}.",
            fix='It holds {"schemas": {…}, "questions": [{"db", "question", "sql"}, …]}.',
        ) from None
    files = {db: databases / f"{db}.sqlite" for db in schemas}
    require_files(files.values())
    return Suite(path.name.split(".")[0], items, files, schemas, False)


def require_files(files: Iterable[Path]) -> None:
    """Raise OptionError if a database is not there."""
    missing = sorted(str(file) for file in files if not file.is_file())
    if missing:
        raise OptionError(
            f"{len(missing)} database(s) of this suite are not there, such as {missing[0]}.",
            fix="Name the directory that holds them with --databases.",
        )


def _file_item(index: int, entry: Mapping[str, Any]) -> Item:
    sql = entry.get("sql_sqlite") or entry["sql"]
    category, hardness = classify(sql)
    return Item(
        f"{entry['db']}-{index:04}",
        entry["db"],
        entry.get("category") or category,
        entry.get("hardness") or hardness,
        entry["question"],
        expand_gold(sql),
        expand_gold(entry["sql"]) if "sql_sqlite" in entry else (),
    )


def _schema(entry: Mapping[str, Any]) -> Schema:
    joins = entry.get("joins", ())
    return Schema("sqlite", tuple(_table(table, joins) for table in entry["tables"]))


def _table(entry: Mapping[str, Any], joins: Any) -> Table:
    columns = tuple(
        Column(
            column["name"],
            column["type"],
            nullable=True,
            comment=column.get("comment", ""),
            samples=tuple(column.get("samples", ()))[:3],
        )
        for column in entry["columns"]
    )
    keys = sorted(
        (column["primary_key"], column["name"])
        for column in entry["columns"]
        if column.get("primary_key")
    )
    references = tuple(
        ForeignKey((column,), other, (other_column,))
        for table, column, other, other_column in joins
        if table == entry["name"]
    )
    return Table(entry["name"], "", columns, tuple(name for _, name in keys), references)
