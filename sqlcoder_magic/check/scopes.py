"""Passes over names: every table is one of the schema, every column one of a table in sight.

`Resolver` walks the queries of a statement with the scopes that SQL gives them: a CTE's name is
known only where its WITH reaches, subqueries see the queries around them, derived tables do not
see their neighbours unless they are LATERAL. A table that the walk does not reach is refused;
a column is refused only where the columns of everything in sight are known.

Not here: repairing a wrong name. The refusals name the nearest real ones; `repair` takes the
same `Resolver` and changes the nodes that this one keeps as `lost`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlglot import exp

from sqlcoder_magic.check.candidate import Candidate
from sqlcoder_magic.check.index import DEFAULT_NAMESPACE, SYSTEM_COLUMNS, fold
from sqlcoder_magic.check.messages import (
    ColumnRefusal,
    unknown_column,
    unknown_qualifier,
    unknown_table,
)
from sqlcoder_magic.check.sources import (
    Aliases,
    Columns,
    Frame,
    Scope,
    Source,
    clause_aliases,
    folded,
    function_columns,
    function_name,
    named,
    output_name,
    renamed,
    values_columns,
)
from sqlcoder_magic.errors import SQLRejected

_FROM_PARTS = ("with_", "from_", "joins", "laterals")
# Where a recursive CTE's name hides a table's in all of its body.
_CTE_SHADOWS = ("sqlite", "mysql", "tsql")
# Where a column has no fields that a dot could reach.
_NO_FIELDS = ("sqlite", "postgres", "mysql")


def tables(candidate: Candidate) -> Candidate:
    """Every table is a table or view of the schema, or a CTE that is known at that place."""
    resolver = Resolver(candidate)
    tree = candidate.parsed
    resolver.query(tree, Scope(candidate.dialect))
    if resolver.table_problem is not None:
        raise resolver.table_problem
    for node in tree.find_all(exp.Table):
        if id(node) not in resolver.seen:
            raise candidate.no("tables", "A table stands where none is expected.", at=node)
    return replace(
        candidate,
        tables=tuple(resolver.tables),
        column_problem=resolver.column_problem,
        notes=(*candidate.notes, *resolver.notes),
    )


def columns(candidate: Candidate) -> Candidate:
    """Every column belongs to a table in sight (found by `tables`, told after it)."""
    if candidate.column_problem is not None:
        raise candidate.column_problem
    return candidate


class Resolver:
    """One walk through a statement; keeps the tables read and the first problem of each kind.

    `scopes` holds what each SELECT sees, by the id of its node; `lost` the columns and tables
    that do not resolve.
    """

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.index = candidate.index
        self.dialect = candidate.dialect
        self.tables: dict[str, None] = {}
        self.seen: set[int] = set()
        self.scopes: dict[int, Scope] = {}
        self.lost: list[exp.Column | exp.Table] = []
        self.table_problem: SQLRejected | None = None
        self.column_problem: SQLRejected | None = None
        self.notes: dict[str, None] = {}

    # --- queries ---------------------------------------------------------------------------

    def query(self, node: exp.Expr, scope: Scope) -> Columns:
        """The columns that a query gives, after looking at everything in it."""
        scope = self._with(node, scope)
        if isinstance(node, exp.Select):
            return self._select(node, scope)
        if isinstance(node, exp.SetOperation):
            return self._both(node, scope, scope)
        if isinstance(node, exp.Subquery):
            given = self._nested(node, scope)
            self._tail(node, given, scope, "this", "alias", "joins")
            return given
        if isinstance(node, exp.Values):
            self._look(node.expressions, scope)
            return self._values(node)
        if isinstance(node, exp.Pivot):
            return self._pivot(node, scope)
        self._refuse_table(self.candidate.no("tables", "A query is expected here.", at=node))
        return None

    def _with(self, node: exp.Expr, scope: Scope) -> Scope:
        clause = node.args.get("with_")
        if clause is None:
            return scope
        around = scope.around
        for cte in clause.expressions:
            alias = cte.args["alias"]
            name = folded(alias.this, self.dialect)
            # SQL Server has no word for it.
            unsaid = self.dialect == "tsql" and isinstance(cte.this, exp.Union)
            if clause.args.get("recursive") or unsaid:
                own = renamed(None, alias, self.dialect)
                given = self._recursive(cte.this, name, own, scope)
            else:
                given = self.query(cte.this, scope)
            given = renamed(given, alias, self.dialect)
            scope = scope.with_cte(name, given)
            around = {**around, name: given}
        return replace(scope, around=around)

    def _recursive(self, body: exp.Expr, name: str, own: Columns, scope: Scope) -> Columns:
        """The body of a CTE that may name itself: after its last UNION, and nowhere else.

        Before it, and in a UNION BY NAME, DuckDB takes the name for a real table's. The engines
        in `_CTE_SHADOWS` never do, and know several terms that name it.
        """
        if self.dialect in _CTE_SHADOWS:
            return self.query(body, scope.with_cte(name, own))
        if not isinstance(body, exp.Union) or body.args.get("by_name"):
            return self.query(body, scope)
        scope = self._with(body, scope)
        return self._both(body, scope, scope.with_cte(name, own))

    def _both(self, node: exp.SetOperation, left: Scope, right: Scope) -> Columns:
        """The two sides of a set operation, each in its scope, and what follows them."""
        given = self.query(node.this, left)
        self.query(node.expression, right)
        self._tail(node, given, left, "this", "expression")
        return given

    def _select(self, select: exp.Select, scope: Scope) -> Columns:
        frame: Frame = {}
        inner = scope.within(frame)
        self.scopes[id(select)] = inner
        start = select.args.get("from_")
        joins = list(select.args.get("joins") or [])
        if start is not None:
            self._add(start.this, frame, inner, scope)
        for join in joins:
            self._add(join.this, frame, inner, scope)
        for lateral in select.args.get("laterals") or []:
            self._add(lateral, frame, inner, scope)
        self._conditions(joins, frame, inner)
        aliases = [p.args["alias"] for p in select.expressions if isinstance(p, exp.Alias)]
        given = frozenset(folded(alias, self.dialect) for alias in aliases)
        for clause, value in select.args.items():
            if clause == "expressions":
                self._projections(value, inner, given)
            elif value and clause not in _FROM_PARTS:
                self._look(value, inner, clause_aliases(clause, given, self.dialect))
        return self._outputs(select, frame)

    def _projections(self, what: list[exp.Expr], inner: Scope, given: frozenset[str]) -> None:
        """The SELECT list; where a name given in it may be used, then only after it."""
        before: set[str] = set()
        for projection in what:
            seen = clause_aliases("expressions", frozenset(before), self.dialect).usable
            self._look(projection, inner, Aliases(seen, given - before))
            if isinstance(projection, exp.Alias):
                before.add(folded(projection.args["alias"], self.dialect))

    def _tail(self, node: exp.Expr, given: Columns, scope: Scope, *done: str) -> None:
        """ORDER BY, LIMIT and the like of a set operation or a bracketed query."""
        frame: Frame = {"": Source(given)}
        for clause, value in node.args.items():
            if value and clause not in done and clause not in _FROM_PARTS:
                self._look(value, scope.within(frame))

    def _nested(self, node: exp.Subquery, scope: Scope) -> Columns:
        """The columns of a bracketed query, or of bracketed tables."""
        if isinstance(node.this, exp.Table | exp.Lateral | exp.Unnest):
            frame: Frame = {}
            self._add(node.this, frame, scope.within(frame), scope)
            return _together(frame.values())
        return self.query(node.this, scope)

    def _pivot(self, node: exp.Pivot, scope: Scope) -> Columns:
        """DuckDB's statement PIVOT table ON ...; the columns it gives depend on the data.

        Values that no IN lists, or a query in it does, DuckDB looks up in a statement of its own.
        """
        frame: Frame = {}
        if not all(isinstance(part, exp.In) for part in node.expressions):
            scope = scope.looking_up()
        for part in node.expressions:
            if isinstance(part, exp.In) and part.args.get("query"):
                self.query(part.args["query"], Scope(self.dialect))
        inner = scope.within(frame)
        self._add(node.this, frame, inner, scope)
        rest = [value for key, value in node.args.items() if key not in ("this", "with_")]
        if node.args.get("unpivot"):  # names columns of its own
            inner = inner.within({"": Source(None)})
        self._look(rest, inner)
        return None

    def _values(self, node: exp.Values) -> Columns:
        first = node.expressions[0] if node.expressions else None
        width = len(first.expressions) if isinstance(first, exp.Tuple) else 1
        return renamed(values_columns(width, self.dialect), node.args.get("alias"), self.dialect)

    def _outputs(self, select: exp.Select, frame: Frame) -> Columns:
        """The columns of a SELECT's result; None as soon as one of them is not known."""
        found: dict[str, str] = {}
        for projection in select.expressions:
            if isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
                source = frame.get(folded(projection.args.get("table"), self.dialect))
                more = source.columns if source is not None else None
            elif isinstance(projection, exp.Star):
                more = _together(frame.values())
            else:
                name = output_name(projection, self.dialect)
                more = {name: projection.alias_or_name or name} if name else None
            if more is None:
                return None
            found.update(more)
        return found

    # --- FROM ------------------------------------------------------------------------------

    def _add(self, node: exp.Expr, frame: Frame, inner: Scope, outer: Scope) -> None:
        """Put what stands in FROM into the frame, under its alias."""
        alias = node.args.get("alias")
        name = folded(alias.this, self.dialect) if alias is not None else ""
        # DuckDB lets a derived table see its neighbours without LATERAL.
        around = inner if self.dialect == "duckdb" else outer
        if isinstance(node, exp.Table):
            name, source = self._table(node, name, inner)
        elif isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Table):
            source = Source(self.query(node, around))
        elif isinstance(node, exp.Subquery) and name:
            source = Source(self._nested(node, inner))
        elif isinstance(node, exp.Subquery):
            self._add(node.this, frame, inner, outer)
            source = None
        elif isinstance(node, exp.Values):
            source = Source(self.query(node, around))
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            source = Source(self.query(node.this, inner))
        else:
            call = node.this if isinstance(node, exp.Lateral) else node
            source = self._function(node, call, name, inner)
        nested = list(node.args.get("joins") or [])
        if source is not None:
            source = self._finished(node, source, alias, inner)
            # Two tables of one name in different namespaces stand side by side.
            frame[name if name and name not in frame else f" {len(frame)}"] = source
        for join in nested:
            self._add(join.this, frame, inner, outer)
        self._conditions(nested, frame, inner)

    def _finished(
        self, node: exp.Expr, source: Source, alias: exp.Expr | None, inner: Scope
    ) -> Source:
        """The source after PIVOT and after the renaming of its columns."""
        if node.args.get("pivots"):
            self._look(node.args["pivots"], inner.within({"": Source(None)}))
            return Source(renamed(None, alias, self.dialect))
        if isinstance(node, exp.Values):
            return source
        found = renamed(source.columns, alias, self.dialect)
        offset = node.args.get("offset") or node.args.get("ordinality")
        if offset and found is not None:
            extra = folded(offset, self.dialect) if isinstance(offset, exp.Expr) else "ordinality"
            found = {**found, extra: extra}
        return Source(found, source.table, alias.name if alias is not None else "")

    def _table(self, node: exp.Table, alias: str, inner: Scope) -> tuple[str, Source]:
        """The alias and the source of a table's name, a CTE's name or a table function."""
        self.seen.add(id(node))
        this = node.this
        if isinstance(this, exp.Func):
            return alias or function_name(this), self._function(node, this, alias, inner)
        name = folded(this, self.dialect)
        namespace = [folded(node.args.get(part), self.dialect) for part in ("catalog", "db")]
        self._look([v for k, v in node.args.items() if k in ("sample", "when")], inner)
        if isinstance(this, exp.Identifier) and not any(namespace) and name in inner.ctes:
            return alias or name, Source(inner.ctes[name])
        if not any(namespace) and _is_dual(this, self.dialect):
            return alias or name, Source({})  # one row without columns, for SELECT 1 FROM DUAL
        table = None
        if isinstance(this, exp.Identifier):
            table = self.index.table(".".join(part for part in namespace if part), name)
        if table is None:
            self.lost.append(node)
            self._refuse_table(unknown_table(self.candidate, node, inner))
            return alias or name, Source(None)
        self.tables[table.full_name] = None
        return alias or name, Source(self.index.columns(table), table)

    def _function(self, node: exp.Expr, call: exp.Expr, alias: str, inner: Scope) -> Source:
        """A function in FROM: only one that reads no table or file."""
        name = function_name(call)
        known, found = function_columns(name, alias, self.dialect)
        if not known and name not in self.candidate.allowed_functions:
            what = f"The function {name or call.key}" if isinstance(call, exp.Func) else "This"
            self._refuse_table(
                self.candidate.no(
                    "functions",
                    f"{what} is not on the list of what may stand in FROM.",
                    at=node,
                    fix="Name a table or view of the database.",
                )
            )
        if name == "unnest" and node.expressions and self.dialect == "postgres":
            found = {alias or name: alias or name}
        parts = [v for k, v in call.args.items() if k not in ("alias", "offset")]
        self._look(parts, inner)
        return Source(found)

    def _conditions(self, joins: list[Any], frame: Frame, inner: Scope) -> None:
        """ON and USING of these joins, once all their tables are known."""
        for join in joins:
            self._look([v for k, v in join.args.items() if k not in ("this", "using")], inner)
            for identifier in join.args.get("using") or []:
                name = folded(identifier, self.dialect)
                having = [s for s in frame.values() if s.columns is None or name in s.columns]
                if len(having) < 2 and all(s.columns is not None for s in frame.values()):
                    self._refuse_column(
                        self.candidate.no(
                            "columns",
                            f"USING ({identifier.name}): not both tables have this column.",
                            at=identifier,
                            fix="Write ON left.column = right.column.",
                        )
                    )

    # --- expressions -----------------------------------------------------------------------

    def _look(self, what: Any, scope: Scope, aliases: Aliases | None = None) -> None:
        """Resolve the columns below these nodes, and the queries nested in them."""
        aliases = aliases or Aliases()
        pending = [what]
        while pending:
            node = pending.pop()
            if isinstance(node, list | tuple):
                pending.extend(reversed(node))
            elif isinstance(node, exp.Query):
                self.query(node, scope)
            elif isinstance(node, exp.Table):
                self._table(node, "", scope)
            elif isinstance(node, exp.Comprehension):
                variable = named([node.expression], self.dialect)
                self._look(list(node.args.values()), scope.within({" ": Source(variable)}))
            elif isinstance(node, exp.Expr):
                if isinstance(node, exp.Column):
                    self._column(node, scope, aliases)
                pending.extend(reversed([v for v in node.args.values() if v]))

    def _column(self, column: exp.Column, scope: Scope, aliases: Aliases) -> None:
        qualifier = column.args.get("table")
        if qualifier is not None:
            self._qualified(column, qualifier, scope)
        elif not isinstance(column.this, exp.Star):
            self._unqualified(column, scope, aliases)

    def _unqualified(self, column: exp.Column, scope: Scope, aliases: Aliases) -> None:
        name = folded(column.this, self.dialect)
        if self._in_sight(name, scope) or aliases.allow(column, name):
            return
        if self.dialect in ("postgres", "duckdb") and any(name in f for f in scope.frames):
            return  # the alias of a table means its whole row
        if self.dialect == "sqlite" and column.this.args.get("quoted"):
            self.notes[f'SQLite reads "{column.name}" as text: no column has that name.'] = None
            return
        self.lost.append(column)
        self._refuse_column(
            unknown_column(self.candidate, ColumnRefusal(column, scope, name, aliases.all))
        )

    def _in_sight(self, name: str, scope: Scope) -> bool:
        """Whether some source has the column, or may have it."""
        system = name in SYSTEM_COLUMNS.get(self.dialect, ())
        for frame in scope.frames:
            for source in frame.values():
                if source.columns is None or name in source.columns or (system and source.table):
                    return True
        return False

    def _qualified(self, column: exp.Column, qualifier: exp.Expr, scope: Scope) -> None:
        alias = folded(qualifier, self.dialect)
        name = folded(column.this, self.dialect)
        source = self._source_of(column, alias, scope)
        if source is None:
            first = folded(column.parts[0], self.dialect)
            # On some engines `a.b` can be a field of the column `a`.
            is_field = self.dialect not in _NO_FIELDS and self._in_sight(first, scope)
            if not is_field and not (self.dialect == "duckdb" and self._row_field(column, scope)):
                self.lost.append(column)
                self._refuse_column(unknown_qualifier(self.candidate, column, scope))
        elif not isinstance(column.this, exp.Star) and source.columns is not None:
            system = name in SYSTEM_COLUMNS.get(self.dialect, ()) and source.table is not None
            if name not in source.columns and not system:
                refusal = ColumnRefusal(column, scope, name, frozenset(), source)
                self.lost.append(column)
                self._refuse_column(unknown_column(self.candidate, refusal))

    def _source_of(self, column: exp.Column, alias: str, scope: Scope) -> Source | None:
        """The innermost source that `alias.column` or `namespace.table.column` is about."""
        if column.args.get("db") is None:
            return next((f[alias] for f in scope.frames if alias in f), None)
        found = (s for f in scope.frames for s in f.values())
        return next((s for s in found if _written_for(column, alias, s, self.dialect)), None)

    def _row_field(self, column: exp.Column, scope: Scope) -> bool:
        """Whether `t.a.b` is the field `b` of the column `a` of the source `t`."""
        parts = [folded(part, self.dialect) for part in column.parts]
        source = next((f[parts[0]] for f in scope.frames if parts[0] in f), None)
        return source is not None and (source.columns is None or parts[1] in source.columns)

    def _refuse_table(self, problem: SQLRejected) -> None:
        self.table_problem = self.table_problem or problem

    def _refuse_column(self, problem: SQLRejected) -> None:
        self.column_problem = self.column_problem or problem


def _is_dual(name: exp.Expr, dialect: str) -> bool:
    """Whether this is DUAL the word; in quotes it is a table's name on MySQL."""
    known = dialect in ("mysql", "oracle") and folded(name, dialect) == "dual"
    return known and not name.args.get("quoted")


def _together(sources: Iterable[Source]) -> Columns:
    """All columns of these sources; None if those of one are not known."""
    found: dict[str, str] = {}
    for source in sources:
        if source.columns is None:
            return None
        found.update(source.columns)
    return found


def _written_for(column: exp.Column, name: str, source: Source, dialect: str) -> bool:
    """Whether `namespace.table.column` names this source (and not a table elsewhere).

    On MySQL to the letter: where a NATURAL or USING join stands in FROM, MariaDB 10.11 ends with
    a segmentation fault if there is no such table, which an alias or another case makes it.
    """
    if source.table is None or source.alias not in ("", source.table.name):
        return False
    if dialect == "mysql":
        parts = column.args["db"].name, column.args["table"].name
        return parts == (source.table.namespace, source.table.name)
    namespace = source.table.namespace or DEFAULT_NAMESPACE.get(dialect, "")
    real = fold(source.table.name, True, dialect), fold(namespace, True, dialect)
    return real == (name, folded(column.args["db"], dialect))
