"""The constraint as one static text, for a server that decodes under a grammar: GBNF.

llama.cpp reads GBNF, and so do both of vLLM's backends, xgrammar and guidance. The syntax is that
of `sql.lark`, rule by rule, so that it is said once; the names in it are those of the schema.
A static grammar cannot follow which table FROM will name, so it lets more through than
`reader` does: a column of any shown table may stand where a column may (behind a table's own
name, if that is longer than an alias, only the table's); a name that the query itself gives may
stand alone in ORDER BY and GROUP BY, and anywhere behind a WITH or a subquery of FROM. It lets
through all that `reader` does but for columns of an alias of more than six letters. Not covered:
sending it (`server`), judging the draft (`check`).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from sqlcoder_magic.models.names import RESERVED, Catalog, Names
from sqlcoder_magic.models.words import ALIAS_CHARACTERS

_OWN = ("WORD", "NAME", "RESERVED")  # terminals that the names replace
_LETTERS = string.ascii_lowercase + "_" + string.digits
_DEEPEST = 4  # groups in groups; llguidance takes few


def gbnf(catalog: Catalog) -> str:
    """The grammar of one read-only SELECT over these tables, or of "I do not know"."""
    return _syntax() + "".join(f"{name} ::= {body}\n" for name, body in _names(catalog).items())


def _names(catalog: Catalog) -> dict[str, str]:
    """The rules that the schema fills."""
    rules: dict[str, str] = {}
    tables, owners, owned = [], [], []
    for space, inside in _by_space(catalog).items():
        parents = (_spelled(catalog.after(space[:at]), [part]) for at, part in enumerate(space))
        before = " ".join(f'({_words(parent)}) "."' for parent in parents)
        known = catalog.after(space)
        within = f"({before})? " if before else ""  # a column may be called by the last name alone
        tables.append(f"{before} ({_words(_spelled(known, inside))})".lstrip())
        owners.append(f"{within}({_words(_spelled(known, inside))})")
        for name in inside:
            if columns := _words(_spelled(catalog.tables[*space, name])):
                rules[f"of-{len(rules)}"] = columns
                owner = f"{within}({_words(_spelled(known, [name]))})"
                owned.append(f'{owner} "." t-w? of-{len(rules) - 1}')
    return {
        "table": " | ".join(tables),
        "column": _words(_spelled(catalog.columns)) or _quoted("*"),  # tables may have none
        "alias": f"[A-Za-z_] [A-Za-z0-9_]{{0,{ALIAS_CHARACTERS - 1}}}",
        "qualifier": " | ".join(["alias", *owners]),
        "reference": " | ".join(['(alias "." t-w?)? column', *owned]),
        **rules,
    }


def _by_space(catalog: Catalog) -> dict[tuple[str, ...], list[str]]:
    """The tables' names by what stands before them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for path in catalog.tables:
        found.setdefault(path[:-1], []).append(path[-1])
    return found


def _spelled(names: Names, wanted: Iterable[str] | None = None) -> list[str]:
    """How the names may be written: all, or those that `wanted` are the keys of."""
    among = None if wanted is None else set(wanted)
    return [
        written.encode("latin-1").decode("utf-8", "replace")
        for written, key in names.spelled.items()
        if among is None or key in among
    ]


# ---------------------------------------------------------------- from Lark to GBNF


@cache
def _syntax() -> str:
    """All rules but those of `_names`, a line each, the first one first."""
    rules, terminals = _read()
    rules = _inlined(rules | _with_free_names(rules))
    lines = [f"root ::= {_renamed(rules.pop('start'), _dashed)}"]
    lines += [f"{_dashed(name)} ::= {_renamed(body, _dashed)}" for name, body in rules.items()]
    used = {word for line in lines for word in re.findall(r"\bt-[a-z-]+", line)}
    for name in sorted(used | {"t-w"}):
        lines.append(f"{name} ::= {terminals.get(name) or _either_case([name.removeprefix('t-')])}")
    quoted = r'"\"" ([^"\x00-\x1f] | "\"\""){1,126} "\""'
    lines += [f"new ::= new- | {quoted}", "rest ::= [A-Za-z0-9_]{0,62}"]
    lines += [f"{name} ::= {body}" for name, body in _unlike(RESERVED)]
    return "\n".join(lines) + "\n"


def _read() -> tuple[dict[str, str], dict[str, str]]:
    """(rules of `sql.lark`, each name in the role that it has there; its terminals as GBNF)."""
    text = (Path(__file__).parent / "sql.lark").read_text("utf-8")
    text = re.sub(r"^//.*\n", "", text, flags=re.M)
    text = text.replace("{0,200}", "*")  # of a string: counting doubles what xgrammar takes
    parts = dict(re.findall(r"^(\w+): (.*(?:\n[ \t]+.*)*)", text, re.M))
    rules = {
        name: _with_roles(name, " ".join(body.split()))
        for name, body in parts.items()
        if name.islower()
    }
    terminals = {
        f"t-{name.lower()}": _terminal(body)
        for name, body in parts.items()
        if name.isupper() and name not in _OWN
    }
    return rules, terminals


def _with_roles(rule: str, body: str) -> str:
    """The body of a rule with what each NAME in it is: a table, a column, a new name …"""
    path = {"source": "table", "primary": "reference"}.get(rule, "new")
    body = re.sub(r'NAME \("\."(?: W\?)? NAME\)\*', path, body)
    body = body.replace('NAME ".*"', 'qualifier ".*"')
    if rule in ("order", "groups"):  # an output column may stand alone
        body = re.sub(r"\bexpr\b", "(expr | new)", body)
    return body.replace("NAME", "column" if rule == "join" else "new")


def _with_free_names(rules: dict[str, str]) -> dict[str, str]:
    """The rules once more (`_any`), for behind a WITH or a subquery in FROM, which make names that
    no grammar can list; and those that lead there."""
    clause, order = rules["query"].split("? body", 1)
    select, where = rules["select"].split(" (W FROM W sources)?")
    table, derived = rules["source"].split(" | ")
    more = {f"{name}_any": _any(body) for name, body in rules.items() if name != "start"}
    more |= {
        "table_any": "table | new",
        "reference_any": 'new ("." W? new)*',
        "qualifier_any": "new",
        "column_any": "new",
        "query": f"body{order} | (common | recursive) {_any('body' + order)} | made",
        # The first has nothing but the schema in sight, unless it may name itself.
        "common": clause[1:-1].replace("(RECURSIVE W)? ", "").replace("COMMA cte", "COMMA cte_any"),
        "recursive": _any(clause[1:-1].replace("(RECURSIVE W)?", "RECURSIVE W")),
        "made": f"{select} W FROM W among{_any(where + order)}",
        "source": table,
        "derived": derived,
        "among": "(derived | sources (COMMA derived | W join_made)) "
        "(COMMA source_any | W join_any)*",
        "join_made": _any(rules["join"]).replace("source_any", "derived"),
    }
    return more


def _inlined(rules: dict[str, str]) -> dict[str, str]:
    """The rules without those that are made of terminals alone, which stand where they were named.

    guidance makes one lexeme of such a rule, and its lexer does not go back: of `products WHERE`
    it would read the beginning of a table with an alias.
    """
    made_of = {name: re.findall(r"[a-z_]+", re.sub(r'"[^"]*"', "", rules[name])) for name in rules}
    flat = {name for name, parts in made_of.items() if not any(part in rules for part in parts)}
    if not flat:
        return rules
    return _inlined(
        {
            name: _renamed(body, lambda part: f"({rules[part]})" if part in flat else part)
            for name, body in rules.items()
            if name not in flat
        }
    )


def _any(body: str) -> str:
    """The body with free names in all its rules."""
    return _renamed(body, lambda part: f"{part}_any" if part.islower() and part != "new" else part)


def _renamed(body: str, name: Callable[[str], str]) -> str:
    """The body with other names for its rules and terminals; what is quoted stays."""
    return re.sub(r'"[^"]*"|[A-Za-z_]+', lambda m: m[0] if m[0][0] == '"' else name(m[0]), body)


def _dashed(name: str) -> str:
    """What a rule or terminal of `sql.lark` is called here, in the letters that GBNF takes."""
    return ("t-" if name.isupper() else "") + name.lower().replace("_", "-")


def _terminal(body: str) -> str:
    """A terminal's body as GBNF: regular expressions, or a text in quotes."""
    if body[0] == '"':
        return body
    made = []
    for pattern, flag in re.findall(r"/((?:\\.|[^/])+)/(i?)", body):
        if flag and re.fullmatch(r"\(?[a-z0-9_| ]+\)?", pattern):
            made.append(_either_case(pattern.strip("()").split("|")))
        else:
            made += [_regex(pattern), *([_regex(pattern.upper())] if flag else [])]
    return " | ".join(made)


def _either_case(words: Iterable[str]) -> str:
    listed = list(words)
    return _words([*listed, *(word.upper() for word in listed)])


def _regex(pattern: str) -> str:
    """A regular expression as GBNF: classes, groups and bounded repetition are written alike."""
    pieces = re.findall(r"\\.|\[(?:\\.|[^\]])+\]|\{[0-9,]+\}|.", pattern)
    return " ".join(
        piece if len(piece) > 2 or piece in "()|?*+" else _quoted(piece[-1]) for piece in pieces
    )


def _quoted(text: str) -> str:
    """A text in quotes."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\x{ord(m[0]):02x}", text) + '"'


def _words(words: Iterable[str], depth: int = 0) -> str:
    """Any of the words, a common beginning written once: few ways are open at a time."""
    heads: dict[str, list[str]] = {}
    for word in sorted(set(words)):
        heads.setdefault(word[0] if depth < _DEEPEST else word, []).append(word)
    made = []
    for group in heads.values():
        first, last = group[0], group[-1]  # in order, so that these two have what all have
        head = next(first[:n] for n in range(len(first), 0, -1) if last.startswith(first[:n]))
        rest = [word[len(head) :] for word in group if word != head]
        optional = "?" if len(rest) < len(group) else ""
        made.append(_quoted(head) + (f" ({_words(rest, depth + 1)}){optional}" if rest else ""))
    return " | ".join(made)


def _unlike(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Rules for a word of letters, digits and _ that is none of `words`, whatever their case.

    The first is called `new-`; `new-c` is what may follow a C, and so on.
    """
    listed = frozenset(words)
    for begun in sorted({word[:at] for word in listed for at in range(len(word) + 1)}):
        going = {word[len(begun)] for word in listed if word.startswith(begun) and word != begun}
        others = set(_LETTERS if begun else _LETTERS[:27]) - going
        ways = [f"{_class(others | {c.upper() for c in others})} rest"]
        for letter in sorted(going):
            longer = begun + letter
            optional = "" if longer in listed else "?"
            ways.append(f"{_class({letter, letter.upper()})} {_dashed(f'new_{longer}')}{optional}")
        yield _dashed(f"new_{begun}"), " | ".join(ways)


def _class(letters: Iterable[str]) -> str:
    """The letters as a class, those that follow each other as a range."""
    spans: list[str] = []
    for letter in sorted(letters):
        if spans and ord(spans[-1][-1]) == ord(letter) - 1:
            spans[-1] = spans[-1][0] + "-" + letter
        else:
            spans.append(letter)
    return f"[{''.join(spans)}]"
