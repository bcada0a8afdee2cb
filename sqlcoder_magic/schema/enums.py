"""The values of an enum type where the type's spelling holds them: `ENUM('a', 'b')`."""

from __future__ import annotations

import re

MOST_VALUES = 20  # of a longer enum, the first so many

_ENUM = re.compile(r"(?:enum|set)\s*\(\s*('.*')\s*\)(?:\[\])*", re.I | re.S)
_VALUE = re.compile(r"'((?:[^']|'')*)'")


def enum_values(type_name: str) -> tuple[str, ...]:
    """The values that the type allows; empty if it is no enum."""
    match = _ENUM.fullmatch(type_name.strip())
    if match is None:
        return ()
    values = [value.replace("''", "'") for value in _VALUE.findall(match.group(1))]
    return tuple(values[:MOST_VALUES])
