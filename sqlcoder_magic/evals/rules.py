"""When is a prediction right? Gold in Defog's notation, and two verdicts on a result.

`expand_gold` reads the notation of Defog's sql-eval (github.com/defog-ai/sql-eval): statements
separated by `;` are alternatives, and one `{a, b}` in the column list stands for each
non-empty choice of these columns, repeated in `GROUP BY {}`. `judge` applies the two rules of
`sample.compare`. Not covered: running anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from sqlcoder_magic.sample.compare import Result, covers, order_counts, orders_rows, same

_ALIAS = re.compile(r"\s+AS\s+(\w+|\"[^\"]*\")\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Gold:
    """One alternative of the known answer: its SQL, and what that returns."""

    sql: str
    result: Result


@dataclass(frozen=True)
class Verdict:
    """Right by Defog's rule (any alternative covered), and by the strict one (any the same)."""

    defog: bool
    strict: bool


def judge(golds: Sequence[Gold], predicted: Result, *, category: str, question: str) -> Verdict:
    """Compare a result with every alternative; a result equal by one is right.

    Order counts where the gold orders its rows; for Defog's rule, only if the category is
    order_by or the question asks for it as well.
    """
    asked = order_counts(category, question)
    orders = [orders_rows(gold.sql) for gold in golds]
    return Verdict(
        any(
            covers(gold.result, predicted, ordered=asked and ordered)
            for gold, ordered in zip(golds, orders, strict=True)
        ),
        any(
            same(gold.result, predicted, ordered=ordered)
            for gold, ordered in zip(golds, orders, strict=True)
        ),
    )


def expand_gold(text: str) -> tuple[str, ...]:
    """Every statement that a gold cell stands for."""
    statements = (part.strip() for part in _split(text, ";"))
    return tuple(one for sql in statements if sql for one in _column_choices(sql))


def _column_choices(sql: str) -> Iterator[str]:
    group = re.search(r"\{([^{}]+)\}", sql)
    if group is None:
        yield sql
        return
    columns = [column.strip() for column in _split(group.group(1), ",")]
    before, after = sql[: group.start()], sql[group.end() :]
    for size in range(1, len(columns) + 1):
        for chosen in combinations(columns, size):
            grouped = ", ".join(_ALIAS.sub("", column) for column in chosen)
            yield before + ", ".join(chosen) + after.replace("{}", grouped)


def _split(text: str, separator: str) -> Iterator[str]:
    """Split outside quotes and parentheses."""
    start, depth, quote = 0, 0, ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == separator and depth == 0:
            yield text[start:position]
            start = position + 1
    yield text[start:]
