"""Words that `scope` and `reader` treat apart. Which may follow which, `sql.lark` knows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

# An alias that is used before FROM declares it is short, or a table's name. A longer word that no
# name begins with is an invention, and is stopped while it is written.
ALIAS_CHARACTERS = 6
LONGEST_ALIAS = 24
DEEPEST = 24  # parentheses and queries that are open at once
NESTING = frozenset(  # words that need a parenthesis behind them
    "any cast cube exists extract filter in lateral over using values with within".split()
)
# A FROM that still owes what the select list named: so many sources of other kinds it may have
# (an alias T4 has no other place than the fourth), and so many ANDs and ORs its ON.
PATIENCE = 4
LINKS = 3
SOURCES = 10  # of one FROM

TYPED = ("date", "timestamp", "time")  # `DATE '2024-01-01'`: a keyword only before a string
SETS = ("union", "intersect", "except")
ENDS_FROM = frozenset(("where", "group", "having", "order", "limit", "offset", *SETS))
# What a source cannot be called without AS: a clause that may not come yet, begun in earnest.
JOINS = ("cross", "inner", "join", "left", "right", "full")
CLAUSES = (*ENDS_FROM, *JOINS, "using")


@dataclass(frozen=True)
class Words:
    """The words that the grammar knows."""

    functions: frozenset[str]  # and what else begins an operand without a declaration
    sorted: tuple[str, ...]  # all, in lower case

    def begin(self, part: str) -> Iterator[str]:
        """Words that begin with `part`, in its case."""
        low = part.lower()
        if part not in (low, part.upper()):
            return  # the grammar knows its words in lower and in upper case
        for word in islice(self.sorted, bisect_left(self.sorted, low), None):
            if not word.startswith(low):
                return
            yield part + (word[len(part) :] if part == low else word[len(part) :].upper())
