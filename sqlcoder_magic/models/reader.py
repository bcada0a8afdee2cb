"""Which name may stand where, while a SELECT is still being written.

SQL uses an alias (`T1.name`) before FROM declares it, which no context-free grammar can follow.
`Reader` follows it: it reads a draft lexeme by lexeme, remembers what the select list asked of
names that are not declared yet, and holds FROM to it. It trusts the syntax to `sql.lark`, and
judges whole lexemes; how a begun one could go on, `goes_on` proposes. `constrain` says what the
two of them claim and what they do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from sqlcoder_magic.models.names import NOTHING, RESERVED, Catalog, Names
from sqlcoder_magic.models.scope import Frame, Scope
from sqlcoder_magic.models.words import (
    DEEPEST,
    ENDS_FROM,
    JOINS,
    LINKS,
    NESTING,
    SETS,
    SOURCES,
    TYPED,
    Words,
)

_LEXEME = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_]\w*|\d+(?:\.\d*)?|\s+|.""", re.A | re.S
)
_FOLLOWS = (" ", "(", ")", ",")  # what may stand behind a word, one of them
_SIGNS = (")", ", ", ";", "(", "1", "'", ".", "*", "=", "::", ":")
# What mostly stands behind a complete operand: it is tried before all else that could.
_LINKS = (" from ", " and ", " as ", " on ", " where ", " order ", " over ", " by ", " then ")
_REMEMBERED = 100
_TRIED = 4  # of the names that a word could become


class Reader(Scope):
    """Reads a draft as it grows: `feed(more)` goes on, `goes_on()` says how it could."""

    def __init__(self, catalog: Catalog, words: Words) -> None:
        super().__init__(catalog)
        self._words = words
        self._tail = ""  # the lexeme that may still grow
        self._said: tuple[str, ...] = ()  # the last hundred
        self._spaced = False  # white space was read last
        self._needs_string = False
        self._declared = False  # the last lexeme was a table, or a name given

    def copy(self) -> Reader:
        """An independent reader at the same place."""
        other = Reader.__new__(Reader)
        other.__dict__.update(self.__dict__)
        other._frames = [frame.copy() for frame in self._frames]
        return other

    def feed(self, more: str) -> bool:
        """Read on; False where `more` cannot stand here. The reader is then of no more use."""
        text = self._tail + more
        at = 0
        while at < len(text):
            match = _LEXEME.match(text, at)
            assert match is not None
            lexeme, end = match.group(), match.end()
            if text[at] in "'\"" and (len(lexeme) < 2 or text[end : end + 1] == text[at]):
                break  # quotes not closed yet
            if end == len(text) and (lexeme[0].isalnum() or lexeme[0] in "_'\""):
                break  # it may still grow
            if not self._read(lexeme, text[end : end + 1]):
                return False
            at = end
        self._tail = text[at:]
        return True

    def is_in_string(self) -> bool:
        """True inside a string that is not closed yet: whatever comes, it can be."""
        return self._tail[:1] == "'" and _LEXEME.fullmatch(self._tail) is None

    def is_outside(self) -> bool:
        """True where no query is open: the grammar alone knows what may come."""
        return not self._queries()

    def may_end(self) -> bool:
        """True if the draft may end here."""
        other = self.copy()
        return other.feed(" ") and other._finish()

    def forced(self) -> str:
        """The rest of the name being written, where there is one way to write it."""
        role = self._role()
        if role not in ("column", "table") or not (self._tail or self._path):
            return ""
        if self._tail and not (_is_word(self._tail) or self._tail[0] == '"'):
            return ""
        if role == "column" and not self._path and self._tail[0] != '"':
            qualifiers = islice(self._qualifiers(self._tail), 1)
            if any(qualifiers) or any(self._words.begin(self._tail)):
                return ""
        elif role == "column" and not self._path and any(self._qualifiers(self._tail)):
            return ""
        return self._candidates(role).rest(self._tail)

    def goes_on(self) -> Iterator[str]:
        """What could come next, as far as the lexeme after the one begun; the likely first.

        Of many names of one kind some stand for all. The syntax may forbid any of it.
        """
        tail = self._tail
        if tail[:1] == "'" or tail[:1].isdigit():
            closing = "'" if self.is_in_string() else ""
            yield from ("1",) if tail[-1] == "." else ()
            yield from (closing + rest for rest in self._starts())
        elif tail:
            yield from (word[len(tail) :] for word in self._begun(tail))
        elif self._spaced or self._before[0] in (".", "(", "", ",", ":"):
            yield from self._begins()
        else:
            yield from self._starts()

    def _starts(self) -> Iterator[str]:
        """What could follow a lexeme that is complete."""
        yield from _SIGNS[:3]
        yield from _LINKS
        other = self.copy()
        if other.feed(" "):
            yield from (" " + word for word in other._begins())
        yield from _SIGNS

    def _begins(self) -> Iterator[str]:
        """What could stand behind a space; of what is tried, names and signs before words."""
        yield from self._names_from("")
        yield from (link[1:] for link in _LINKS)
        yield from _SIGNS
        yield from self._words_from("")

    def _begun(self, part: str) -> Iterator[str]:
        """Words and names that begin with `part`, with what could follow them."""
        if part.lower() in RESERVED:  # mostly the whole word, and never a name
            yield from (part + more for more in _FOLLOWS)
        yield from self._names_from(part)
        yield from self._words_from(part)

    def _names_from(self, part: str) -> Iterator[str]:
        role = self._role()
        if role == "free":
            yield from (name + more for name in self._fresh(part) for more in (" ", ")", ","))
        elif role in ("column", "table"):
            names = islice(self._candidates(role).begin(part), _TRIED)
            yield from (name + more for name in names for more in (" ", ")", ",", ".", ";"))
            if role == "column" and self._frames[-1].kind != "using":
                further = self._catalog.after(self._path).begin(part)
                qualifiers = further if self._path else self._qualifiers(part)
                yield from (name + "." for name in islice(qualifiers, _TRIED))

    def _words_from(self, part: str) -> Iterator[str]:
        if part[:1] == '"' or self._path:
            return
        role = self._role()
        for word in self._words.begin(part):
            if role in ("free", "table") and word.lower() not in RESERVED:
                continue
            yield from (word + more for more in (_FOLLOWS if len(part) else _FOLLOWS[:2]))
            if word.lower() in TYPED:
                yield word + " '"

    def _fresh(self, part: str) -> Iterator[str]:
        """New names that begin with `part`."""
        for alias in self._frames[-1].asked:
            if alias.startswith(part.lower()):
                yield part + alias[len(part) :]
        if part[:1] == '"':
            closed = len(part) > 1 and _LEXEME.fullmatch(part) is not None
            yield from (part,) if closed else (f'{part}"', f'{part}_"')
        else:
            yield from (part + more for more in ("", "_", "q1") if part or more > "a")

    def _read(self, lexeme: str, follows: str) -> bool:
        self._spaced = lexeme.isspace()
        if self._spaced:
            return True
        if self._needs_string and lexeme[0] != "'":
            return False
        self._needs_string = False
        word = _is_word(lexeme) or lexeme[0] == '"'
        declares = word and self._role() in ("free", "table") and lexeme.lower() not in RESERVED
        good = self._word(lexeme, follows) if word else self._sign(lexeme)
        self._known, self._declared = None, declares
        last = lexeme.lower() if _is_word(lexeme) else lexeme
        self._before = (last, self._before[0])
        self._said = (*self._said[-_REMEMBERED:], last)
        return good

    def _sign(self, sign: str) -> bool:
        top = self._frames[-1]
        if sign == "(":
            return self._open(top)
        if sign == ")":
            return self._close()
        if sign == "," and top.kind == "query":
            if top.phase == "select":
                self._end_item(top)
            elif top.phase == "from":
                if not self._may_stand(top, "join") or self._must_name(top):
                    return False
                top.wants, top.table, top.links = "source", "", 0
        elif sign == "*" and top.kind == "query" and top.phase == "select":
            if self._before[0] in ("select", "distinct", "all", ",", "."):
                top.outputs = top.outputs | {"*": "*"}
            if self._path:
                top.asked = top.asked | {self._path[-1]: top.asked.get(self._path[-1], frozenset())}
            self._path = ()
        elif sign in ";`":
            return self._finish()
        if sign not in ",.":
            top.last = ""
        return True

    def _open(self, top: Frame) -> bool:
        """An opening parenthesis: what it encloses decides what can be seen from inside."""
        before, earlier = self._before
        kind = {"cast": "cast", "extract": "field", "using": "using"}.get(before, "paren")
        if top.kind == "query" and kind == "paren":
            if top.phase == "with":
                kind = "cte" if before == "as" else "body" if before == ")" else "names"
            elif top.phase == "from" and top.wants == "source":
                if self._is_due(top):
                    return False
                kind = "paren" if before == "lateral" else "derived"
            elif top.phase == "from" and self._declared:
                kind = "names"
                if top.name in top.asked:
                    return False  # new names would not be those that were asked for
            elif before in SETS or (before == "all" and earlier in SETS):
                kind = "operand"
        self._frames.append(Frame(kind))
        top.last = ""
        return len(self._frames) <= DEEPEST

    def _close(self) -> bool:
        columns = None
        if self._frames[-1].kind == "query":
            query = self._frames.pop()
            if not self._end_query(query):
                return False
            columns = self._outputs(query)
        inner = self._frames.pop()
        columns = columns or inner.derived
        if not self._frames:
            return False
        top = self._frames[-1]
        top.last = ""
        if inner.kind == "names":
            top.columns = Names(inner.outputs)
            if top.phase == "from":
                top.sources = top.sources | {top.name: top.columns}
        elif inner.kind == "cte":
            top.ctes = top.ctes | {top.name: top.columns or columns or NOTHING}
        elif inner.kind in ("body", "operand"):
            outputs = columns.spelled if columns and top.first else top.outputs
            top.outputs = dict(outputs)
            top.phase, top.first = "after", False
        elif top.kind == "query" and top.wants == "source":
            top.wants, top.table, top.derived = "alias", "", columns or NOTHING
        elif top.kind == "query" or top.derived is None:
            top.derived = columns  # of a UNION in parentheses, its first SELECT's
        return True

    def _word(self, word: str, follows: str) -> bool:
        low = word.lower()
        role = self._role()
        if role == "type" or (role == "field" and low not in RESERVED):
            return True
        if self._frames[-1].kind == "names":
            return low not in RESERVED and self._declare(word)
        if follows == "(" and (low in self._words.functions or low in RESERVED):
            if low in RESERVED:
                return self._keyword(low)
            circles = "replace" not in low and self._turns_in_circles(low)
            return len(self._frames) < DEEPEST and not circles
        if low == "recursive" and self._before[0] == "with" and role == "free":
            self._frames[-1].recursive = True
            return follows != "("
        if low in RESERVED and not (role == "free" and word[0] == '"'):
            return self._keyword(low)
        if self._before[0] == "nulls" or (low == "time" and self._before[0] == "at"):
            return True
        if role == "free":
            return self._declare(word)
        if not self._queries():
            return True
        if follows == ".":
            return self._qualify(word, role)
        return self._name(word, role)

    def _role(self) -> str:
        """What a name would be here: type, field, table, free (a new name) or column."""
        top, before = self._frames[-1], self._before[0]
        if before == ":" or (before == "as" and top.kind == "cast"):
            return "type"
        earlier = "as" if top.kind == "cast" else ":"
        if self._before[1] == earlier and (top.kind == "cast" or before == "double"):
            return "type"  # the second word of DOUBLE PRECISION
        if before == "(" and top.kind == "field":
            return "field"
        if top.kind != "query":
            return "free" if top.kind == "names" else "column"
        if top.phase == "with" or (before == "as" and not self._path):
            return "free"
        if top.wants == "source":
            return "table"
        if top.wants == "alias" and not self._path:
            return "free"
        return "column"

    def _qualify(self, word: str, role: str) -> bool:
        """A name with a dot behind it."""
        name = self._catalog.key(word)
        path = (*self._path, name)
        if role == "table":
            good = self._catalog.leads(path)
        elif self._path:
            good = self._may_lead(path)
        else:
            columns = self._columns_of(path)
            good = (columns is not None and any(columns.begin(""))) or self._may_lead(path)
        self._path = path
        return good

    def _name(self, word: str, role: str) -> bool:
        """A name that stands for a table or a column."""
        path, top = self._path, self._frames[-1]
        found = self._candidates(role).find(word)
        self._path = ()
        if role == "table":
            return found is not None and self._source(top, path, found)
        if found is None:
            if word.lower() in TYPED and not path and top.kind != "using":
                self._needs_string = True
                return True
            return False
        top.last = word
        return self._ask(path, found)

    def _keyword(self, low: str) -> bool:
        top = self._frames[-1]
        if not self._may_stand(top, low):
            return False
        if low in ("with", "select", "values"):
            return self._begin_query(top, low)
        if low in ("order", "limit", "offset") and top.kind == "paren" and top.derived is not None:
            self._frames.append(  # (SELECT …) ORDER BY: what it put out is all there is
                Frame("query", "after", clause=low, outputs=dict(top.derived.spelled), first=False)
            )
            return True
        if top.kind != "query" or low in ("as", "distinct", "lateral"):
            return True
        if low == "from" and top.phase == "select" and not self._is_distinct_from():
            self._end_item(top)
            top.phase, top.wants = "from", "source"
        elif low in ENDS_FROM:
            return self._end_from_clause(top, low)
        elif top.phase == "from" and top.wants != "source":
            if self._must_name(top):
                return False
            top.wants = "source" if low == "join" else ""
            top.links *= low != "join"
        top.last = ""
        return True

    def _may_stand(self, top: Frame, low: str) -> bool:
        """False for words that would lead nowhere here."""
        if low in NESTING:
            room = DEEPEST - len(self._frames) - (low in ("with", "values"))
            if room <= 0:
                return False
        if low in ("and", "or", "select") and self._turns_in_circles(low):
            return False
        if low in ("and", "or"):
            return self._may_link()
        if low in JOINS and top.kind == "query" and top.phase == "from":
            return len(top.sources) < SOURCES or any(self._owed(top))
        if low == "using":
            return self._using_works()
        if low == "lateral":
            return bool(top.sources) and not self._is_due(top)
        return low != "as" or top.wants != "alias" or top.table not in top.asked

    def _begin_query(self, top: Frame, low: str) -> bool:
        if low == "values":
            self._frames.append(Frame("query", phase="values"))
        elif low == "with":
            self._frames.append(Frame("query", phase="with"))
        elif top.kind != "query":
            self._frames.append(Frame("query"))
        elif top.phase == "with":
            top.phase = "select"
        return True

    def _may_link(self) -> bool:
        """False where an ON has gone on long enough while FROM still owes a source."""
        queries = self._queries()
        query = queries[0] if queries else None
        if query is None or query.phase != "from" or query.wants == "source":
            return True
        query.links += 1
        return query.links <= LINKS or not any(self._owed(query))

    def _turns_in_circles(self, low: str) -> bool:
        """True if what begins with the last such word, or the last few, stood there twice."""
        said = self._said
        for at in range(len(said) - 1, len(said) // 2 - 1, -1):
            if said[at] == low and said[at:] == said[2 * at - len(said) : at]:
                return True
        return False

    def _is_distinct_from(self) -> bool:
        return self._before[0] == "distinct" and self._before[1] in ("is", "not")

    def _end_from_clause(self, top: Frame, low: str) -> bool:
        if top.phase == "select":
            self._end_item(top)
        if top.phase in ("select", "from") and not self._end_query(top):
            return False
        top.phase, top.clause, top.wants = "after", low, ""
        if low in SETS:
            self._recur(top)
            if top.first and "*" in top.outputs:
                top.outputs = dict(self._outputs(top).spelled)
            top.first, top.phase, top.clause = False, "select", ""
            top.sources, top.asked, top.bare = {}, {}, frozenset()
        return True

    def _recur(self, query: Frame) -> None:
        """From its first UNION on, the query of a recursive CTE may name the CTE."""
        at = next(n for n, frame in enumerate(self._frames) if frame is query)
        if at < 2 or self._frames[at - 1].kind != "cte":
            return
        owner = self._frames[at - 2]
        if owner.recursive:
            columns = owner.columns or self._outputs(query)
            owner.ctes = owner.ctes | {owner.name: columns}

    def _finish(self) -> bool:
        if self._needs_string:
            return False
        while len(self._frames) > 1:
            frame = self._frames.pop()
            if frame.kind != "query":
                return False
            if not self._end_query(frame):
                return False
        return True


def _is_word(lexeme: str) -> bool:
    return bool(lexeme) and lexeme[0] in _LETTERS


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
