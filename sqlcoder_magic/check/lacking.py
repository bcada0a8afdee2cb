"""Pass over syntax that parses and that the engine does not have.

MySQL reads `a FULL JOIN b` as a table with the alias FULL, which answers something else; for the
rest it names a place in the text where nothing is wrong. Not covered: functions (`functions.py`).
"""

from __future__ import annotations

from sqlglot import exp

from sqlcoder_magic.check.candidate import Candidate

_OTHERWISE = "Ask in other words, or for less in one question."


def lacking(candidate: Candidate) -> Candidate:
    """No FULL JOIN, no CUBE, no aggregate WITHIN GROUP on MySQL and MariaDB."""
    if candidate.dialect != "mysql":
        return candidate
    for node in candidate.parsed.walk():
        what = _what_mysql_lacks(node)
        if what:
            raise candidate.no(
                "lacking", f"MySQL and MariaDB have no {what}.", at=node, fix=_OTHERWISE
            )
    return candidate


def _what_mysql_lacks(node: exp.Expr) -> str:
    if isinstance(node, exp.Join) and node.side == "FULL":
        return "FULL JOIN"
    if isinstance(node, exp.Cube | exp.GroupingSets):
        return "CUBE and GROUPING SETS"
    if isinstance(node, exp.Rollup) and node.expressions:
        return "ROLLUP beside other groups"
    if isinstance(node, exp.WithinGroup) and not isinstance(node.parent, exp.Window):
        return "WITHIN GROUP without OVER"
    if isinstance(node, exp.SimilarTo | exp.Overlaps):
        return "SIMILAR TO and OVERLAPS"
    return ""
