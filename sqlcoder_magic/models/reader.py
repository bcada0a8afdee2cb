"""Which name may stand where, while a SELECT is still being written.

SQL uses an alias (`T1.name`) before FROM declares it, which no context-free grammar can follow.
`Reader` follows it: it reads a draft lexeme by lexeme, remembers what the select list asked of
names that are not declared yet, and holds FROM to it. It trusts the syntax to `sql.lark`. What it
does not judge: names that a table function makes, and the new columns of a derived table, which
may be used in a select list before it only as `alias.column`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlcoder_magic.models.names import RESERVED, Catalog, Names
from sqlcoder_magic.models.scope import Frame, Scope
from sqlcoder_magic.models.words import (
    AFTER,
    AFTER_NAMES,
    AFTER_PARENTHESIS,
    ALIAS_CHARACTERS,
    BEGIN_CLAUSES,
    ENDS_FROM,
    FOLLOWS,
    IN_CASE,
    LONGEST_ALIAS,
    TYPED,
    VALUES,
)

_LEXEME = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_]\w*|\d+(?:\.\d*)?|\s+|.""", re.A | re.S
)


class Reader(Scope):
    """Reads a draft as it grows. `allows(more)` asks, `feed(more)` goes on."""

    def __init__(self, catalog: Catalog, functions: frozenset[str]) -> None:
        super().__init__(catalog)
        self._functions = functions  # and what else begins an operand without a declaration
        self._tail = ""  # the lexeme that may still grow
        self._before = ("", "")  # the last two lexemes, words in lower case
        self._needs_string = False
        self._declared = False  # the last lexeme was a table, or a name given

    def copy(self) -> Reader:
        """An independent reader at the same place."""
        other = Reader.__new__(Reader)
        other.__dict__.update(self.__dict__)
        other._frames = [frame.copy() for frame in self._frames]
        return other

    def allows(self, more: str) -> bool:
        """True if the draft can still come out right after `more`."""
        tail = self._tail + more
        if re.fullmatch(r"[A-Za-z_]\w*|\"(?:[^\"]|\"\")*", tail, re.A):
            return self._may_begin(tail)
        return self.copy().feed(more)

    def feed(self, more: str) -> bool:
        """Read on; False where `more` cannot stand here. The reader is then of no more use."""
        text = self._tail + more
        at = 0
        while at < len(text):
            match = _LEXEME.match(text, at)
            assert match is not None
            lexeme, end = match.group(), match.end()
            if text[at] in "'\"" and not (len(lexeme) > 1 and lexeme[-1] == text[at]):
                break  # quotes not closed yet
            if end == len(text) and (lexeme[0].isalnum() or lexeme[0] in "_'\""):
                break  # it may still grow
            if not self._read(lexeme, text[end : end + 1]):
                return False
            at = end
        self._tail = text[at:]
        return (
            not self._tail
            or (self._tail[0] not in '"' and not _is_word(self._tail))
            or (self._may_begin(self._tail))
        )

    def may_end(self) -> bool:
        """True if the draft may end here."""
        other = self.copy()
        return other.feed(" ") and other._finish()

    def forced(self) -> str:
        """The rest of the name being written, where there is one way to write it."""
        role = self._role()
        if role == "free" or not (self._tail == "" or _is_word(self._tail) or self._tail[0] == '"'):
            return ""
        if not self._tail and not self._path:
            return ""
        if role == "column" and not self._path:
            low = self._tail.lower()
            if self._qualifier_begins(low) or any(w.startswith(low) for w in self._functions):
                return ""
        return self._candidates(role).rest(self._tail)

    def _read(self, lexeme: str, follows: str) -> bool:
        if lexeme.isspace():
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
        return good

    def _sign(self, sign: str) -> bool:
        top = self._frames[-1]
        if sign == "(":
            before = self._before[0]
            kind = {"cast": "cast", "extract": "field", "using": "using"}.get(before, "paren")
            self._frames.append(Frame(kind))
        elif sign == ")":
            return self._close()
        elif sign == "," and top.kind == "query":
            if top.phase == "select":
                self._end_item(top)
            elif top.phase == "from":
                top.wants, top.table = "source", ""
        elif sign == "*" and top.kind == "query" and top.phase == "select":
            if self._before[0] in ("select", "distinct", ",", "."):
                top.outputs["*"] = "*"
            if self._path:
                top.asked.setdefault(self._path[-1], frozenset())
            self._path = ()
        elif sign in ";`":
            return self._finish()
        if sign not in ",.":
            top.last = ""
        return True

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
        if top.kind == "query" and top.phase == "with":
            top.ctes[top.cte] = columns or Names({})
        elif top.kind == "query" and top.wants == "source":
            top.wants, top.table, top.derived = "alias", "", columns
        else:
            top.derived = columns
        return True

    def _word(self, word: str, follows: str) -> bool:
        low = word.lower()
        role = self._role()
        if role == "type" or (role == "field" and low not in RESERVED):
            return True
        if follows == "(" and (low in self._functions or low in RESERVED):
            return True if low not in RESERVED else self._keyword(low)
        if low in RESERVED and not (role == "free" and word[0] == '"'):
            return self._keyword(low)
        if self._before[0] == "nulls" or (low == "time" and self._before[0] == "at"):
            return True
        if not self._queries():
            return True
        if role == "free":
            return self._declare(word)
        if follows == ".":
            return self._qualify(word, role)
        return self._name(word, role)

    def _role(self) -> str:
        """What a name would be here: type, field, table, free (a new name) or column."""
        top, before = self._frames[-1], self._before[0]
        if before == ":" or (before == "as" and top.kind == "cast"):
            return "type"
        if top.kind == "cast" and self._before[1] == "as":
            return "type"  # the second word of DOUBLE PRECISION
        if before == "(" and top.kind == "field":
            return "field"
        if top.kind != "query":
            return "column"
        if top.phase == "with" or (before == "as" and not self._path):
            return "free"
        if top.wants == "source":
            return "table"
        if top.wants == "alias" and not self._path:
            return "free"
        return "column"

    def _may_begin(self, part: str) -> bool:
        """True if a name or word of this beginning may stand here."""
        role = self._role()
        if role == "free" and self._frames[-1].wants == "alias":
            return self._alias_begins(part)
        if role in ("type", "field", "free") or self._before[0] == "nulls" or not self._queries():
            return True  # outside a query the grammar knows enough: SELECT, WITH, a refusal
        if role != "column" or self._path or self._frames[-1].kind == "using":
            return self._candidates(role).begins(part)
        low = part.lower()
        name = self._qualifier_begins(part) or self._candidates(role).begins(part)
        if name and low not in ENDS_FROM and not self._after_operand():
            return True
        if part not in (low, part.upper()):
            return False  # the grammar knows its words in lower and in upper case
        words = [word for word in self._next_words() if word.startswith(low)]
        return any(word not in ENDS_FROM or self._may_follow(word) for word in words)

    def _next_words(self) -> Iterable[str]:
        """The words, of those that are no names, that the grammar may take here."""
        before = self._before[0]
        if before in AFTER:
            return AFTER[before]
        if self._declared or self._after_star():
            return AFTER_NAMES
        if self._after_operand():
            return (*FOLLOWS, *IN_CASE) if self._frames[-1].cases else FOLLOWS
        more = AFTER_PARENTHESIS if before == "(" else ("distinct", "not", "when")
        return (*self._functions, *more)

    def _alias_begins(self, part: str) -> bool:
        """True if an alias of the source just named may begin so, or what comes after a source.

        A model that may not end FROM where it wants to would else write on inside the alias.
        """
        top, name = self._frames[-1], self._plain(part + '"' if part[0] == '"' else part)
        if self._before[0] != "as":
            words = [word for word in AFTER_NAMES if word.startswith(name)]
            if any(word not in ENDS_FROM or self._may_follow(word) for word in words):
                return True
            if len(part) > ALIAS_CHARACTERS or name.startswith(BEGIN_CLAUSES):
                return False
        if top.table in top.asked:
            return False  # the select list means the table by its own name
        columns = top.sources.get(top.table) if top.table else top.derived
        if columns is None or len(part) > LONGEST_ALIAS:
            return False
        # T1, asked for columns that this source lacks, is not its alias; T1x would be a way around.
        return not any(
            name.startswith(alias) and alias[-1].isdigit() and not asked <= columns.canonical
            for alias, asked in top.asked.items()
            if alias not in top.sources
        )

    def _after_operand(self) -> bool:
        """True where no name can stand, only a word that goes on with the query."""
        before = self._before[0]
        if "at" in self._before:  # AT TIME ZONE
            return False
        if _is_word(before):
            return before not in RESERVED or before in VALUES
        return self._after_star() or before[:1] in ("'", '"', ")") or before[:1].isdigit()

    def _after_star(self) -> bool:
        """True after a star that stands for columns, not for a product."""
        return self._before[0] == "*" and self._before[1] in (".", "select", "distinct", ",")

    def _may_follow(self, word: str) -> bool:
        other = self.copy()
        return other._read(word, " ")

    def _qualify(self, word: str, role: str) -> bool:
        """A name with a dot behind it."""
        name = self._plain(word)
        path = (*self._path, name)
        if role == "table":
            good = self._catalog.leads(path) and path not in self._catalog.tables
        elif self._path:
            good = path in self._catalog.tables
        else:
            good = self._columns_of(path) is not None or self._catalog.leads(path)
        self._path = path
        return good

    def _name(self, word: str, role: str) -> bool:
        """A name that stands for a table or a column."""
        path, top = self._path, self._frames[-1]
        if role == "table":
            name = self._tables().find(word)
            self._path = ()
            if name is None:
                return False
            columns = self._catalog.tables.get((*path, name)) if path else self._named(name)
            if columns is None:
                return False
            top.wants, top.table, top.derived = "alias", name, None
            if name in top.sources:
                top.table = ""  # a self join: the second needs an alias of its own
                top.derived = columns
                top.wants = "alias"
            else:
                top.sources[name] = columns
            return True
        found = self._candidates(role).find(word)
        self._path = ()
        if found is None:
            if word.lower() in TYPED and not path:
                self._needs_string = True
                return True
            return False
        top.last = word
        return self._ask(path, found)

    def _declare(self, word: str) -> bool:
        """A new name: of a CTE, an output column or a source."""
        top, name = self._frames[-1], self._plain(word)
        if top.phase == "with":
            top.cte = name
            top.cte_words |= {word: name}
            return not self._catalog.leads((name,)) and name not in top.ctes
        if top.wants != "alias":
            top.last = word
            return True
        columns = top.derived
        if top.table:
            columns = top.sources.pop(top.table)
            if top.table in top.asked:
                return False  # the select list means the table by its own name
        top.wants = top.table = ""
        top.derived = None
        if columns is None or name in top.sources:
            return False
        top.sources[name] = columns
        return top.asked.get(name, frozenset()) <= columns.canonical

    def _keyword(self, low: str) -> bool:
        top = self._frames[-1]
        top.cases += {"case": 1, "end": -1}.get(low, 0)
        if low == "with" and top.kind != "query":
            self._frames.append(Frame("query", phase="with"))
        elif low == "select":
            if top.kind != "query":
                self._frames.append(Frame("query"))
            elif top.phase == "with":
                top.phase = "select"
            return True
        if top.kind != "query":
            return True
        if low not in ("as", "distinct"):
            if low == "from" and top.phase == "select" and not self._is_distinct_from():
                self._end_item(top)
                top.phase, top.wants = "from", "source"
            elif low in ENDS_FROM:
                return self._end_from_clause(top, low)
            elif top.phase == "from" and top.wants != "source":
                if top.wants == "alias" and top.derived is not None:
                    return False  # a derived table, and a table joined to itself, need a name
                top.wants = "source" if low == "join" else ""
            top.last = ""
        return True

    def _is_distinct_from(self) -> bool:
        return self._before[0] == "distinct" and self._before[1] in ("is", "not")

    def _end_from_clause(self, top: Frame, low: str) -> bool:
        if top.phase == "select":
            self._end_item(top)
        if top.phase in ("select", "from") and not self._end_query(top):
            return False
        top.phase, top.clause, top.wants = "after", low, ""
        if low in ("union", "intersect", "except"):
            top.first, top.phase, top.clause = False, "select", ""
            top.sources, top.asked, top.bare = {}, {}, frozenset()
        return True

    def _finish(self) -> bool:
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
