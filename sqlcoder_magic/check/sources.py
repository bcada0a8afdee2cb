"""What a query can take columns from: the values that `scopes.py` reasons with.

Covers sources, scopes, the columns that table functions give, and the names that engines give
to unnamed expressions. Knows no schema and refuses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from sqlcoder_magic.check.index import fold
from sqlcoder_magic.check.quiet import written_or_none
from sqlcoder_magic.types import Table

# Folded name -> name as it is shown; None where the columns are not known.
Columns = Mapping[str, str] | None

_SERIES = (exp.GenerateSeries, exp.ExplodingGenerateSeries)
_VALUES_COLUMNS = {"postgres": ("column", 1), "sqlite": ("column", 1), "mysql": ("column_", 0)}


@dataclass(frozen=True)
class Source:
    """A table, view, CTE, subquery or table function in FROM, under its alias (as written)."""

    columns: Columns
    table: Table | None = None
    alias: str = ""


# One query's FROM: folded alias -> source.
Frame = dict[str, Source]


@dataclass(frozen=True)
class Scope:
    """What a query sees: CTEs by folded name, and frames, its own first.

    `around` are the CTEs of the queries around it: of these alone DuckDB looks a PIVOT's values
    up, so that inside a CTE a name of the same WITH means a real table there.
    """

    dialect: str
    ctes: Mapping[str, Columns] = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()
    around: Mapping[str, Columns] = field(default_factory=dict)

    def within(self, frame: Frame) -> Scope:
        """The scope inside a query with this FROM."""
        return replace(self, frames=(frame, *self.frames))

    def with_cte(self, name: str, columns: Columns) -> Scope:
        """The scope after one more CTE."""
        return replace(self, ctes={**self.ctes, name: columns})

    def looking_up(self) -> Scope:
        """The scope of what a PIVOT without IN reads."""
        return replace(self, ctes=self.around)


@dataclass(frozen=True)
class Aliases:
    """Names given in SELECT that a clause may use; `bare`: only as a whole sort or group key."""

    usable: frozenset[str] = frozenset()
    all: frozenset[str] = frozenset()
    bare: bool = False

    def allow(self, column: exp.Column, name: str) -> bool:
        """Whether this use of the name is one."""
        keys = (exp.Ordered, exp.Group, exp.Distinct, exp.Tuple, exp.Rollup, exp.Cube)
        return name in self.usable and (not self.bare or isinstance(column.parent, keys))


_LISTED = ("sqlite", "postgres", "duckdb", "mysql")
# Clause of a SELECT -> dialects in which it sees names given in the same SELECT.
_ALIAS_CLAUSES = {
    "order": _LISTED,
    "group": _LISTED,
    "distinct": _LISTED,
    "having": ("sqlite", "duckdb", "mysql"),
    "qualify": ("duckdb",),
    "where": ("sqlite", "duckdb"),
    "expressions": ("duckdb",),
}


def clause_aliases(clause: str, given: frozenset[str], dialect: str) -> Aliases:
    """Which of the names given in SELECT this clause sees."""
    if dialect not in _LISTED:
        return Aliases(given, given)
    seen = dialect in _ALIAS_CLAUSES.get(clause, ())
    return Aliases(given if seen else frozenset(), given, bare=dialect == "postgres")


def folded(identifier: exp.Expr | None, dialect: str) -> str:
    """The folded spelling of an identifier (or of a column definition's name)."""
    if isinstance(identifier, exp.ColumnDef | exp.Column):
        identifier = identifier.this
    if not isinstance(identifier, exp.Identifier):
        return identifier.name.lower() if identifier is not None else ""
    return fold(identifier.name, bool(identifier.args.get("quoted")), dialect)


def named(identifiers: Iterable[exp.Expr], dialect: str) -> dict[str, str]:
    """Columns with these names."""
    return {folded(identifier, dialect): identifier.name for identifier in identifiers}


def renamed(columns: Columns, alias: exp.Expr | None, dialect: str) -> Columns:
    """The columns after `AS alias(a, b)`: the first ones are renamed, the rest stay."""
    new = alias.args.get("columns") if alias is not None else None
    if not new:
        return columns
    rest = list(columns.items())[len(new) :] if columns is not None else []
    return {**named(new, dialect), **dict(rest)}


@cache
def _table_functions() -> Mapping[tuple[str, str], tuple[str, ...]]:
    text = (files(__package__) / "functions" / "tables.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {(dialect, name): tuple(columns) for dialect, name, *columns in rows}


def function_name(node: exp.Expr) -> str:
    """The name of a function in FROM, in lower case."""
    if isinstance(node, _SERIES):
        return "generate_series"
    if isinstance(node, exp.JSONTable):
        return "json_table"
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    return node.sql_name().lower() if isinstance(node, exp.Func) else ""


def function_columns(name: str, alias: str, dialect: str) -> tuple[bool, Columns]:
    """Whether the function may stand in FROM, and the columns it gives there.

    On PostgreSQL they are always known: there `alias.name` with an unknown name would call
    the function `name`.
    """
    columns = _table_functions().get((dialect, name))
    if columns is None:
        known = {alias or name: alias or name} if dialect == "postgres" else None
        return dialect not in _LISTED, known
    if "?" in columns:
        return True, None
    return True, {c: c for c in ((alias or name) if c == "=" else c for c in columns)}


def values_columns(width: int, dialect: str) -> Columns:
    """The names that an engine gives to the columns of a bare VALUES."""
    prefix, first = _VALUES_COLUMNS.get(dialect, ("col", 0))
    return {f"{prefix}{i}": f"{prefix}{i}" for i in range(first, first + width)}


def output_name(projection: exp.Expr, dialect: str) -> str | None:
    """The folded name of a column of the result; None where only the engine knows it."""
    if isinstance(projection, exp.Alias):
        return folded(projection.args["alias"], dialect)
    if isinstance(projection, exp.Column):
        return folded(projection.this, dialect)
    if isinstance(projection, exp.Dot):
        return folded(projection.expression, dialect)
    return _postgres_name(projection) if dialect == "postgres" else None


def _postgres_name(node: exp.Expr) -> str:
    """PostgreSQL's name of an unnamed expression: of its column, function or type."""
    if isinstance(node, exp.Cast):
        inner = _postgres_name(node.this)
        return inner if inner != "?column?" else node.to.sql("postgres").lower()
    if isinstance(node, exp.Paren | exp.Window | exp.Filter | exp.WithinGroup | exp.Bracket):
        return _postgres_name(node.this)
    if isinstance(node, exp.Column):
        return folded(node.this, "postgres")
    if isinstance(node, exp.Subquery):
        selects = node.selects
        return output_name(selects[0], "postgres") or "?column?" if selects else "?column?"
    if isinstance(node, exp.Func) and not isinstance(node, exp.Binary | exp.Connector):
        # Writing can fail: to write QUALIFY, sqlglot parses pieces of its own text again.
        written = written_or_none(node, Dialect.get_or_raise("postgres")) or node.key
        text = written.partition("(")[0].lower()
        return text if text.isidentifier() else node.key
    return "?column?"
