"""Which real name was probably meant: spelling, case, plural, missing underscores.

Plain functions over names; nothing here knows SQL or a schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

_CLOSE_ENOUGH = 0.6


def nearest(name: str, candidates: Iterable[str], *, count: int = 3) -> tuple[str, ...]:
    """The candidates most like `name`, best first, at most `count`; empty if none is near.

    The same word in another case, number or with other underscores comes first; then words
    that share most letters, or of which one holds the other.
    """
    by_key: dict[str, list[str]] = {}
    for candidate in dict.fromkeys(candidates):
        by_key.setdefault(key(candidate), []).append(candidate)
    wanted = key(name)
    close = get_close_matches(wanted, by_key, n=count, cutoff=_CLOSE_ENOUGH)
    parts = [k for k in by_key if len(wanted) > 3 and len(k) > 3 and (wanted in k or k in wanted)]
    parts.sort(key=lambda k: -SequenceMatcher(None, wanted, k).ratio())
    ordered = dict.fromkeys([k for k in (wanted,) if k in by_key] + close + parts)
    return tuple(candidate for k in ordered for candidate in by_key[k])[:count]


def key(name: str) -> str:
    """What two spellings of one word share: `Sale_Dates` and `saledate` have the same key."""
    return singular(name.lower().replace("_", "").replace(" ", ""))


def singular(word: str) -> str:
    """The singular of an English word, near enough for comparing: cities, boxes, sales."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ses", "xes", "zes", "ches", "shes")):
        return word[:-2] if not word.endswith("ses") else word[:-1]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def same_word(name: str, names: Iterable[str]) -> str | None:
    """The only name that differs in case, underscores or number alone."""
    fitting = [real for real in names if key(real) == key(name)]
    exact = [real for real in fitting if real.lower() == name.lower()]
    found = exact or fitting
    return found[0] if len(found) == 1 else None


def edit_distance(one: str, other: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours that lead from one to other."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        row = [i]
        for j, b in enumerate(other, start=1):
            cost = min(row[-1] + 1, last[j] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]


def listing(names: Iterable[str], *, last: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`; empty for no names."""
    items = list(names)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"
