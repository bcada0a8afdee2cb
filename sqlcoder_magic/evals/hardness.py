"""How hard a query is, and of what kind, told from its gold SQL.

For suites whose questions carry no category. The levels are those of Spider's evaluation
(Yu et al., EMNLP 2018; github.com/taoyds/spider, evaluation.py), written anew over sqlglot's
tree: counts of clauses, of nested queries, and of lists with more than one entry.
"""

from __future__ import annotations

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

LEVELS = ("easy", "medium", "hard", "extra")


def parses(sql: str, dialect: str = "sqlite") -> bool:
    """True if the text is SQL of this dialect."""
    try:
        parse_one(sql, read=dialect)
    except (SqlglotError, RecursionError):
        return False
    return True


def classify(sql: str, dialect: str = "sqlite") -> tuple[str, str]:
    """(category, hardness); ("other", "extra") for what does not parse."""
    try:
        tree = parse_one(sql, read=dialect)
    except SqlglotError:
        return "other", "extra"
    return _category(tree), _hardness(tree)


def _category(tree: exp.Expr) -> str:
    if _nested(tree):
        return "nested"
    for kind, name in (
        (exp.Join, "table_join"),
        (exp.Group, "group_by"),
        (exp.Order, "order_by"),
        (exp.Where, "where"),
    ):
        if tree.find(kind):
            return name
    return "other"


def _nested(tree: exp.Expr) -> int:
    """Set operations, and queries inside conditions or FROM."""
    sets = sum(1 for _ in tree.find_all(exp.SetOperation))
    selects = sum(1 for _ in tree.find_all(exp.Select))
    return max(sets, selects - 1)


def _hardness(tree: exp.Expr) -> str:
    main = tree.find(exp.Select)
    if main is None:
        return "extra"
    clauses, lists, nested = _clauses(main), _lists(main), _nested(tree)
    if nested:
        return "hard" if nested == 1 and clauses <= 1 and lists == 0 else "extra"
    if clauses <= 1 and lists == 0:
        return "easy"
    if (clauses <= 1 and lists <= 2) or (clauses <= 2 and lists < 2):
        return "medium"
    if (clauses <= 2 and lists > 2) or (clauses == 3 and lists <= 2):
        return "hard"
    return "extra"


def _own(main: exp.Select, *kinds: type[exp.Expr]) -> list[exp.Expr]:
    """Nodes of these kinds that belong to `main` itself, not to a query inside it."""
    return [node for node in main.find_all(*kinds) if node.parent_select is main]


def _clauses(main: exp.Select) -> int:
    present = sum(1 for name in ("where", "group", "order", "limit") if main.args.get(name))
    joins = len(main.args.get("joins") or ())
    return present + joins + len(_own(main, exp.Or)) + len(_own(main, exp.Like))


def _lists(main: exp.Select) -> int:
    where, group = main.args.get("where"), main.args.get("group")
    conditions = len(list(where.this.flatten())) if where and _is_list(where.this) else 0
    return sum(
        (
            len(_own(main, exp.AggFunc)) > 1,
            len(main.expressions) > 1,
            conditions > 1,
            group is not None and len(group.expressions) > 1,
        )
    )


def _is_list(condition: exp.Expr) -> bool:
    return isinstance(condition, exp.And | exp.Or)
