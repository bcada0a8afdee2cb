"""How good are guessed joins? Databases with declared keys, their foreign keys taken away.

    python benchmarks/guessed_joins.py DATABASES…

DATABASES are SQLite files, directories of them, or a JSON file of schemas (the layout that
`evals.suites` reads). Precision is the share of guesses that were declared; recall the share of
declared joins of one column, between two tables, that were guessed. Both again without primary
keys, as in files and DataFrames. `--show` lists what was guessed wrongly.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sqlcoder_magic.evals.suites import _schema
from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.schema.guessing import with_guessed_joins
from sqlcoder_magic.training.data import read_json
from sqlcoder_magic.types import Schema

Join = frozenset[tuple[str, str]]


def schemas(where: Path) -> Iterator[tuple[str, Schema]]:
    """Every schema at a path, with its name."""
    if ".json" in where.suffixes:
        for name, entry in read_json(where)["schemas"].items():
            yield name, _schema(entry)
        return
    for path in sorted(where.glob("*.sqlite")) if where.is_dir() else [where]:
        yield path.stem, read_schema(f"sqlite:///{path.resolve()}")


def joins(schema: Schema) -> set[Join]:
    """The pairs of columns that join two tables, without direction, in lower case."""
    return {
        frozenset(
            {
                (table.full_name.lower(), key.columns[0].lower()),
                (key.other_table.lower(), key.other_columns[0].lower()),
            }
        )
        for table in schema.tables
        for key in table.foreign_keys
        if len(key.columns) == 1 and key.other_table.lower() != table.full_name.lower()
    }


def bare(schema: Schema, *, primary: bool) -> Schema:
    """The schema without foreign keys, and without primary ones unless `primary`."""
    tables = [
        replace(
            table,
            foreign_keys=(),
            primary_key=table.primary_key if primary else (),
            unique_keys=table.unique_keys if primary else (),
        )
        for table in schema.tables
    ]
    return replace(schema, tables=tuple(tables))


def measure(where: Path, *, primary: bool, show: bool) -> str:
    """One line of figures."""
    right = guessed = declared = 0
    for name, schema in schemas(where):
        known, found = joins(schema), joins(with_guessed_joins(bare(schema, primary=primary)))
        right, guessed, declared = (
            right + len(known & found),
            guessed + len(found),
            declared + len(known),
        )
        if show:
            for join in found - known:
                print("  wrong ", name, " = ".join(".".join(one) for one in sorted(join)))
            for join in known - found:
                print("  missed", name, " = ".join(".".join(one) for one in sorted(join)))
    keys = "primary keys declared" if primary else "no keys at all"
    return (
        f"{where.name:<28} {keys:<22} precision {right / max(guessed, 1):6.1%} "
        f"({right} of {guessed})   recall {right / max(declared, 1):6.1%} (of {declared})"
    )


def main(arguments: list[str]) -> None:
    """Print the figures of every path."""
    show = "--show" in arguments
    for name in arguments:
        for primary in (True, False):
            if name != "--show":
                print(measure(Path(name), primary=primary, show=show))


if __name__ == "__main__":
    main(sys.argv[1:])
