"""`check_sql`: the passes that a text must get through before it may be run, in order.

Each pass is a plain function `Candidate -> Candidate` that raises `SQLRejected`. The text itself
is never changed: what is checked is what runs. What this room does not do: open a database,
limit time or rows, or hold off a view or function of the user's own that does harm; the locks
of `execute` stand behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from sqlglot.errors import SqlglotError

from sqlcoder_magic.check import functions, lacking, scopes, statement, text, whole
from sqlcoder_magic.check.candidate import Candidate
from sqlcoder_magic.check.index import index_of
from sqlcoder_magic.types import _SEAL, CheckedSQL, Schema

PASSES: tuple[Callable[[Candidate], Candidate], ...] = (
    text.size,
    text.characters,
    text.comments,
    statement.parse,
    statement.read_only,
    whole.whole,
    lacking.lacking,
    functions.functions,
    functions.casts,
    functions.lengths,
    scopes.tables,
    scopes.columns,
)


def check_sql(sql: str, schema: Schema, *, allowed_functions: Collection[str] = ()) -> CheckedSQL:
    """`sql` with the seal that `run_sql` asks for.

    `allowed_functions` are names of the user's own functions that only compute. Raises
    SQLRejected with the name of the pass, the spot and what to do.
    """
    candidate = Candidate(
        sql=sql,
        index=index_of(schema),
        allowed_functions=frozenset(name.lower() for name in allowed_functions),
    )
    try:
        for check in PASSES:
            candidate = check(candidate)
    except RecursionError:
        raise Candidate(sql, candidate.index).no(
            "size", "The SQL is nested too deeply.", fix="Ask for less in one question."
        ) from None
    except SqlglotError:
        raise Candidate(sql, candidate.index).no(
            "parse",
            f"The SQL cannot be read as {schema.dialect}.",
            fix="Check the spelling of the statement, or ask again in other words.",
        ) from None
    return CheckedSQL(
        sql=sql,
        dialect=schema.dialect,
        tables=candidate.tables,
        notes=candidate.notes,
        seal=_SEAL,
    )
