"""Which words may follow which, in the part of SQL that `sql.lark` describes.

Only what `reader` needs to see early that half a word leads nowhere.
"""

from __future__ import annotations

# An alias that is used before FROM declares it is short, or a table's name. A longer word that no
# name begins with is an invention, and is stopped while it is written.
ALIAS_CHARACTERS = 6
LONGEST_ALIAS = 24
TYPED = ("date", "timestamp", "time")  # `DATE '2024-01-01'`: a keyword only before a string
ENDS_FROM = frozenset("where group having order limit offset union intersect except".split())

# Words that go on after an operand or a source; those of CASE only inside one.
FOLLOWS = ENDS_FROM.union(
    "and or as asc at between cross desc filter following for from full ilike in inner is join "
    "left like not nulls on over preceding range right rows similar to using within".split()
)
BEGIN_CLAUSES = tuple(word for word in FOLLOWS if len(word) > 3)
AFTER_NAMES = ENDS_FROM.union("as cross from full inner join left on right using".split())
# Words after which only certain others come.
AFTER = {
    "group": ("by",),
    "order": ("by",),
    "partition": ("by",),
    "left": ("join", "outer"),
    "right": ("join", "outer"),
    "full": ("join", "outer"),
    "inner": ("join",),
    "outer": ("join",),
    "cross": ("join",),
    "similar": ("to",),
    "at": ("time",),
    "time": ("zone",),
    "within": ("group",),
    "current": ("row",),
    "unbounded": ("preceding", "following"),
    "rows": ("between",),
    "range": ("between",),
    "union": ("all", "select"),
    "intersect": ("all", "select"),
    "except": ("all", "select"),
    "is": ("distinct", "false", "not", "null", "true"),
    "asc": ("nulls", "rows", "range", "limit", "offset"),
    "desc": ("nulls", "rows", "range", "limit", "offset"),
}
AFTER_PARENTHESIS = tuple(
    "select with distinct not where partition order both leading trailing".split()
)
IN_CASE = ("when", "then", "else", "end")
VALUES = frozenset(
    "end null true false current_date current_time current_timestamp localtimestamp".split()
)
