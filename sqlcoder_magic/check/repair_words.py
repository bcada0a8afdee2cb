"""Which of several real names was meant by one that does not exist; None where two fit.

Plain functions over names and their comments, from strict to lenient. Knows no SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile

from sqlcoder_magic.check.names import edit_distance, key, singular

_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")


def shortened(name: str, names: Mapping[str, str]) -> str | None:
    """The only name that is a slip of the pen away; where none is, the only one that has all
    the words of this one, and more of its own."""
    wanted = frozenset(words(name))
    return _first_tier(slips(name, names), [r for r in names if wanted < frozenset(words(r))])


def likeliest(name: str, names: Mapping[str, str]) -> str | None:
    """The same, and then by comment (the mapping's value), and by words: a name that has all
    its words or only words of it; all words but one, of three or more."""
    wanted = words(name)
    listed = {real: words(real) for real in names}
    commented = [real for real, comment in names.items() if comment and words(comment) == wanted]
    shared = [r for r, w in listed.items() if set(w) <= set(wanted) or set(wanted) <= set(w)]
    but_one = [
        real
        for real, others in listed.items()
        if len(wanted) > 2
        and len(others) == len(wanted)
        and sum(a != b for a, b in zip(wanted, others, strict=True)) == 1
    ]
    return _first_tier(slips(name, names), commented, shared, but_one)


def slips(name: str, names: Mapping[str, str]) -> list[str]:
    """The names that are a slip of the pen away, the closest ones."""
    fitting = {real: edit_distance(key(name), key(real)) for real in names if _near(name, real)}
    closest = min(fitting.values(), default=0)
    return [real for real, distance in fitting.items() if distance == closest]


def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case and the singular: `petTypes` is pet, type."""
    return tuple(singular(word.lower()) for word in _WORD.findall(name))


def _near(name: str, real: str) -> bool:
    """A slip: one letter in a name of four or more, or each word the same or nearly so."""
    if _DIGIT.findall(name) != _DIGIT.findall(real):
        return False
    if len(name) > 3 and edit_distance(key(name), key(real)) < 2:
        return True
    mine, theirs = words(name), words(real)
    return len(mine) == len(theirs) and all(map(_slipped, mine, theirs))


def _slipped(word: str, other: str) -> bool:
    """One letter in four or more, two in eight or more; or one stem: supplier, supply."""
    if edit_distance(word, other) <= min(len(word) // 4, 2):
        return True
    stem = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other)))  # noqa: B905
    return stem >= 5 and stem * 5 >= 3 * max(len(word), len(other))


def _first_tier(*tiers: list[str]) -> str | None:
    """The name in the first tier that has any; None if that has several."""
    found = next((tier for tier in tiers if tier), [])
    return found[0] if len(found) == 1 else None
