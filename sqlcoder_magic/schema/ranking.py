"""The tables of a schema in the order in which a question seems to need them.

BM25 over the words of each table (its name counts more than its columns, those more than
comments and samples), plus words that hide inside longer ones (`orderdate`), plus a share of
what the neighbours by foreign key score. An index is built once a schema and lives as long
as it. Not covered: meaning beyond words.
"""

from __future__ import annotations

import math
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlcoder_magic.schema.words import question_words, words
from sqlcoder_magic.types import Schema, Table

_NAME, _COLUMN, _REMARK = 3.0, 1.0, 0.6  # how much a word counts, by where it stands
_K1, _B = 1.2, 0.6  # BM25's usual saturation, and a mild discount for long tables
_INSIDE = 0.5  # what a word counts that stands inside a longer one
_SHORTEST_INSIDE = 4  # characters; shorter ones are inside everything
_NEIGHBOUR = 0.15  # of a table's score also speaks for each table next to it
_NAMED = 0.5  # more for a table whose whole name is in the question
_COMMON = 0.6  # a word in more of the tables than this tells nothing


class Postings:
    """Which tables hold a word, and how much that counts: worked out when the word is asked for.

    A warehouse has few distinct column names beside its columns, so what is kept is, for each
    distinct text, the tables that it stands in; and for each word, the texts that hold it.
    """

    def __init__(self, tables: tuple[Table, ...]) -> None:
        self._by_word: dict[str, list[tuple[float, list[int]]]] = defaultdict(list)
        self._known: dict[str, list[tuple[int, float]]] = {}
        lengths = [0.0] * len(tables)
        for weight, texts in _texts(tables).items():
            for text, positions in texts.items():
                found = words(text)
                for position in positions:
                    lengths[position] += weight * len(found)
                for word in found:
                    self._by_word[word].append((weight, positions))
        average = sum(lengths) / max(len(lengths), 1) or 1.0
        self._damping = [_K1 * (1 - _B + _B * length / average) for length in lengths]

    def __contains__(self, word: str) -> bool:
        return word in self._by_word

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_word)

    def __getitem__(self, word: str) -> list[tuple[int, float]]:
        """(position of a table, BM25 count of the word in it), in order; none for no such word."""
        if word not in self._known:
            counts: dict[int, float] = defaultdict(float)
            for weight, positions in self._by_word.get(word, ()):
                for position in positions:
                    counts[position] += weight
            self._known[word] = [
                (position, count * (_K1 + 1) / (count + self._damping[position]))
                for position, count in sorted(counts.items())
            ]
        return self._known[word]


def _texts(tables: tuple[Table, ...]) -> dict[float, dict[str, list[int]]]:
    """By what it counts there: each text -> the positions of the tables that it stands in."""
    names: dict[str, list[int]] = defaultdict(list)
    columns: dict[str, list[int]] = defaultdict(list)
    remarks: dict[str, list[int]] = defaultdict(list)
    for position, table in enumerate(tables):
        names[table.name].append(position)
        columns[table.namespace].append(position)
        remarks[table.comment].append(position)
        for column in table.columns:
            columns[column.name].append(position)
            if column.comment:
                remarks[column.comment].append(position)
            for sample in column.samples:
                remarks[sample].append(position)
    return {_NAME: names, _COLUMN: columns, _REMARK: remarks}


@dataclass
class Index:
    """The words and the foreign keys of a schema, ready to be asked."""

    tables: tuple[Table, ...]
    postings: Postings
    names: list[frozenset[str]] = field(default_factory=list)
    neighbours: list[list[int]] = field(default_factory=list)
    by_keys: list[int] = field(default_factory=list)  # the best connected first
    referred: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def ranked(self, question: str) -> Iterator[int]:
        """All positions: the best table for each word, the other matches, the best connected."""
        matches = self.matches(question)
        yield from matches
        matched = set(matches)
        yield from (position for position in self.by_keys if position not in matched)

    def matches(self, question: str) -> list[int]:
        """The tables that share a word with the question, or stand beside one that does."""
        scores: dict[int, float] = defaultdict(float)
        groups = self._asked(question)
        for group in groups.values():
            for word, weight in group:
                for position, count in self.postings[word]:
                    scores[position] += weight * self._rarity(word) * count
        self._reward_names(scores, groups)
        for position, score in list(scores.items()):
            for near in self.neighbours[position]:
                scores[near] += _NEIGHBOUR * score / len(self.neighbours[position])
        leads = {self._best(group[0][0], scores) for group in groups.values()}
        return sorted(scores, key=lambda p: (p not in leads, -scores[p], p))

    def _asked(self, question: str) -> dict[str, list[tuple[str, float]]]:
        """For each of the question's words those of the schema that are or contain it."""
        asked = question_words(question)
        groups = {word: [(word, weight)] for word, weight in asked.items() if word in self.postings}
        long = [w for w, v in asked.items() if len(w) >= _SHORTEST_INSIDE and v == 1.0]
        taken = set(groups)
        for known in self.postings if long else ():
            for word in long:
                if word in known and known not in taken:
                    groups.setdefault(word, []).append((known, _INSIDE))
                    taken.add(known)
        limit = max(_COMMON * len(self.tables), 20)
        return {
            word: group
            for word, group in groups.items()
            if len(self.postings[group[0][0]]) <= limit
        }

    def _rarity(self, word: str) -> float:
        holders = len(self.postings[word])
        return math.log(1 + (len(self.tables) + 0.5) / (holders + 0.5))

    def _reward_names(self, scores: dict[int, float], groups: Iterable[str]) -> None:
        """A table whose name is all in the question is likely meant."""
        asked = set(groups)
        for position in scores:
            name = self.names[position]
            found = len(name & asked)
            if found:
                scores[position] *= 1 + _NAMED * found / len(name)

    def _best(self, word: str, scores: dict[int, float]) -> int:
        return max((position for position, _ in self.postings[word]), key=lambda p: scores[p])


def index_of(schema: Schema) -> Index:
    """The schema's index, built at its first use."""
    known = _indexes.get(id(schema))
    if known is None:
        known = _indexes[id(schema)] = _built(schema)
        weakref.finalize(schema, _indexes.pop, id(schema), None)
    return known


# By identity: hashing a schema would walk all of it.
_indexes: dict[int, Index] = {}


def _built(schema: Schema) -> Index:
    index = Index(schema.tables, Postings(schema.tables))
    index.names = [frozenset(words(table.name)) for table in schema.tables]
    _connect(index)
    return index


def _connect(index: Index) -> None:
    positions = {table.full_name: position for position, table in enumerate(index.tables)}
    near: list[set[int]] = [set() for _ in index.tables]
    for position, table in enumerate(index.tables):
        for key in table.foreign_keys:
            other = positions.get(key.other_table)
            if other is not None and other != position:
                near[position].add(other)
                near[other].add(position)
                index.referred[key.other_table].update(key.other_columns)
    index.neighbours = [sorted(one) for one in near]
    index.by_keys = sorted(range(len(near)), key=lambda p: (-len(near[p]), p))
