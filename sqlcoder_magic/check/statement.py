"""Passes over the statement as a whole: it parses, it is one, and it only reads.

Reading only is an allow-list of syntax: a kind of node that nobody has looked at is refused,
so a parser that learns new syntax opens nothing. Which tables, columns and functions the
statement uses is for the passes after these.
"""

from __future__ import annotations

import re
from dataclasses import replace

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError

from sqlcoder_magic.check.candidate import Candidate, offset_of
from sqlcoder_magic.check.quiet import silence

_ONE = "Ask for one statement at a time."
_READ_ONLY = "Only statements that read are let through: SELECT, WITH ... SELECT, VALUES."
_PLAIN_EXPLAIN = re.compile(
    r"\s*EXPLAIN\s+(?P<plan>QUERY\s+PLAN\s+)?(?=(?:SELECT|WITH)\b)", re.IGNORECASE
)
_FIRST_WORDS = frozenset({"SELECT", "WITH", "VALUES", "("})
_FIRST_WORDS_OF = {
    "duckdb": frozenset({"FROM", "PIVOT", "UNPIVOT", "TABLE"}),
    "postgres": frozenset({"TABLE"}),
    "mysql": frozenset({"TABLE"}),
}

# Elsewhere a parser drops parts of what stands there (MySQL and SQL Server read `{x expression}`).
_HAS_BRACES = frozenset({"duckdb", "snowflake"})

# SQL Server asks for no semicolon: each of these (they are reserved words) begins a statement.
_TSQL_STARTS = frozenset(
    "ALTER BACKUP BEGIN BREAK BULK CHECKPOINT CLOSE COMMIT CONTINUE CREATE DBCC DEALLOCATE DECLARE "
    "DELETE DENY DROP DUMP EXEC EXECUTE GOTO GRANT IF INSERT KILL LINENO LOAD MERGE OPEN PRINT "
    "RAISERROR READTEXT RECONFIGURE RESTORE RETURN REVERT REVOKE ROLLBACK SAVE SET SETUSER "
    "SHUTDOWN TRIGGER TRUNCATE UPDATE UPDATETEXT USE WAITFOR WHILE WRITETEXT".split()
)

_ROOTS = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
# Syntax that only reads, beside the function nodes, operators and data types.
_ALLOWED: tuple[type[exp.Expr], ...] = (
    *(exp.Query, exp.Table, exp.TableAlias, exp.Alias, exp.Aliases, exp.Column, exp.Identifier),
    *(exp.CTE, exp.With, exp.RecursiveWithSearch, exp.From, exp.Join, exp.Lateral, exp.Values),
    *(exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Order, exp.Ordered, exp.WithFill),
    *(exp.Limit, exp.Offset, exp.Fetch, exp.LimitOptions, exp.Distinct, exp.Star, exp.Tuple),
    *(exp.Cube, exp.Rollup, exp.GroupingSets, exp.Pivot, exp.PivotAlias, exp.PivotAny),
    *(exp.UnpivotColumns, exp.TableSample, exp.Window, exp.WindowSpec, exp.Filter),
    *(exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls, exp.HavingMax, exp.Literal, exp.Var),
    *(exp.Null, exp.Boolean, exp.DataType, exp.DataTypeParam, exp.ColumnDef, exp.Interval),
    *(exp.Binary, exp.Unary, exp.Predicate, exp.Bracket, exp.Slice, exp.Lambda, exp.Kwarg),
    *(exp.AtTimeZone, exp.FromTimeZone, exp.IntervalSpan, exp.Comprehension, exp.Introducer),
    *(exp.JSONPath, exp.JSONPathPart, exp.JSONSchema, exp.JSONColumnDef, exp.JSONKeyValue),
    exp.JSONValue,
    *(exp.JSON, exp.FormatJson, exp.OnCondition, exp.National, exp.RawString, exp.ByteString),
    *(exp.HexString, exp.BitString, exp.PseudoType, exp.IntervalOp, exp.CharacterSet),
    *(
        exp.ObjectIdentifier,
        exp.IndexTableHint,
        exp.Between,
        exp.In,
        exp.Collate,
        exp.Escape,
        exp.Func,
    ),
)
# Operators and functions by class that do more than read, or whose meaning is not ours to know.
_REFUSED: tuple[type[exp.Expr], ...] = (
    *(exp.Operator, exp.NextValueFor, exp.DDL, exp.DML),
    *(exp.SessionParameter, exp.Parameter, exp.Placeholder),
)


def parse(candidate: Candidate) -> Candidate:
    """Exactly one statement, of a kind that reads, in the connection's own dialect.

    Whatever the parser raises is a refusal: what cannot be read cannot be judged.
    """
    dialect = Dialect.get_or_raise(candidate.dialect)
    text = _without_explain(candidate)
    try:
        tokens = dialect.tokenize(text)
    except Exception as error:  # noqa: BLE001 (any failure to read is a refusal)
        raise _unreadable(candidate, error) from None
    for token in tokens:
        if token.comments:
            raise candidate.no("comments", "A comment cannot be told from code.", at=token)
        if token.token_type is TokenType.L_BRACE and candidate.dialect not in _HAS_BRACES:
            raise candidate.no(
                "parse", f"{{...}} is no value in {candidate.dialect}.", at=token, fix=_READ_ONLY
            )
    tokens = _one_statement(candidate, tokens)
    _refuse_first_word(candidate, tokens[0])
    try:
        with silence():
            trees = dialect.parser().parse(tokens, text)
    except RecursionError:
        raise  # `check_sql` calls it what it is: too deep
    except Exception as error:  # noqa: BLE001
        raise _unreadable(candidate, error) from None
    if len(trees) != 1 or trees[0] is None:
        raise candidate.no("statement", "The SQL is not exactly one statement.", fix=_ONE)
    return replace(candidate, tokens=tuple(tokens), tree=trees[0])


def _one_statement(candidate: Candidate, tokens: list[Token]) -> list[Token]:
    """The tokens without the semicolons at their end; a second statement is refused."""
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens = tokens[:-1]
    if not tokens:
        raise candidate.no("statement", "There is no statement in the SQL.", fix=_ONE)
    for place, token in enumerate(tokens):
        starts = candidate.dialect == "tsql" and place > 0 and _starts_tsql(tokens, place)
        if token.token_type is TokenType.SEMICOLON or starts:
            raise candidate.no(
                "statement", "Here a second statement begins.", at=token.start, fix=_ONE
            )
    return tokens


def _starts_tsql(tokens: list[Token], place: int) -> bool:
    token = tokens[place]
    if token.token_type in (TokenType.IDENTIFIER, TokenType.STRING, TokenType.NATIONAL_STRING):
        return False
    word = token.text.upper().partition(" ")[0]
    if word == "FETCH":  # OFFSET … FETCH NEXT … ROWS, or a cursor's row
        return not any(t.text.upper() in ("NEXT", "FIRST") for t in tokens[place + 1 : place + 2])
    return word in _TSQL_STARTS


def _refuse_first_word(candidate: Candidate, first: Token) -> None:
    word = first.text.upper()
    if word in _FIRST_WORDS or word in _FIRST_WORDS_OF.get(candidate.dialect, ()):
        return
    what = f"A statement that begins with {word} is not let through."
    fix = _READ_ONLY
    if word == "EXPLAIN":
        what = "EXPLAIN is let through without options, before SELECT or WITH alone."
        fix = "Leave the options out: with ANALYZE it would run the query."
    raise candidate.no("read_only", what, at=first, fix=fix)


def _without_explain(candidate: Candidate) -> str:
    """The text behind a plain EXPLAIN, which only plans; EXPLAIN ANALYZE runs the statement."""
    match = _PLAIN_EXPLAIN.match(candidate.text)
    if match is None or (match["plan"] and candidate.dialect != "sqlite"):
        return candidate.text
    return " " * match.end() + candidate.text[match.end() :]


def _unreadable(candidate: Candidate, error: Exception) -> Exception:
    details = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    what = str(details.get("description") or "").partition(" but got <Token")[0].rstrip(". ")
    line, column = details.get("line"), details.get("col")
    offset = -1
    if isinstance(line, int) and isinstance(column, int):
        length = len(str(details.get("highlight") or "x"))
        lines = candidate.sql.split("\n")
        offset = sum(len(text) + 1 for text in lines[: line - 1]) + max(0, column - length)
    return candidate.no(
        "parse",
        f"The SQL cannot be read as {candidate.dialect}" + (f": {what}." if what else "."),
        at=min(offset, len(candidate.sql)),
        fix="Check the spelling of the statement, or ask again in other words.",
    )


def read_only(candidate: Candidate) -> Candidate:
    """Every node of the tree is of a kind that only reads."""
    tree = candidate.parsed
    if not isinstance(tree, _ROOTS) and not (
        candidate.dialect == "duckdb" and isinstance(tree, exp.Pivot)
    ):
        raise _writes(candidate, tree, tree)
    nearest_spot: exp.Expr = tree
    for node in tree.walk():
        nearest_spot = node if "start" in node.meta else nearest_spot
        if isinstance(node, _REFUSED) or not isinstance(node, _ALLOWED):
            raise _writes(candidate, node, nearest_spot)
        in_type = isinstance(node.parent, exp.DataType)
        calls = candidate.dialect in ("postgres", "redshift")
        if isinstance(node, exp.Dot) and calls and not in_type:
            raise _dotted(candidate, node)
        if isinstance(node, exp.In) and candidate.dialect == "sqlite" and node.args.get("field"):
            raise candidate.no(
                "tables",
                "IN followed by a name reads a whole table on SQLite.",
                at=node,
                fix="Write IN (SELECT column FROM table).",
            )
        if isinstance(node, exp.Table) and "" in (node.args.get("db"), node.args.get("catalog")):
            raise candidate.no(
                "tables",
                "Between two dots a name is missing.",
                at=node,
                fix="Name the table's schema, or leave the dots out.",
            )
        if node.args.get("rows_from"):
            raise candidate.no("read_only", "ROWS FROM is not let through.", at=node)
    return candidate


def _dotted(candidate: Candidate, node: exp.Expr) -> Exception:
    return candidate.no(
        "functions",
        "On PostgreSQL a name after a bracket and a dot can call a function.",
        at=node,
        fix="Take the value in a subquery, and name its column there.",
    )


_WHAT_IT_IS: tuple[tuple[type[exp.Expr], str], ...] = (
    (exp.Into, "SELECT ... INTO writes a table or file, and is not let through."),
    (exp.Lock, "FOR UPDATE and FOR SHARE lock rows, and are not let through."),
    (exp.Placeholder, "The SQL has a placeholder where a value should stand."),
    (exp.Parameter, "Variables and placeholders are not let through."),
    (exp.SessionParameter, "Settings of the server are not let through."),
    (exp.DML, "The statement would change data."),
    (exp.DDL, "The statement would change data or tables."),
    (exp.Drop, "The statement would change data or tables."),
    (exp.Operator, "OPERATOR(...) can call any function, and is not let through."),
    (exp.Hint, "Hints to the planner are not let through."),
)


def _writes(candidate: Candidate, node: exp.Expr, near: exp.Expr) -> Exception:
    # Query and Select are DDL or DML to nobody; the first fitting sentence is the one.
    what = next(
        (text for kind, text in _WHAT_IT_IS if isinstance(node, kind)),
        f"This syntax ({node.key.upper()}) is not on the list of what only reads.",
    )
    spot = node if offset_of(node) >= 0 else near
    return candidate.no("read_only", what, at=spot, fix=_READ_ONLY)
