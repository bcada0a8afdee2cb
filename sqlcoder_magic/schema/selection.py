"""`select_tables`: the part of a schema that a question needs, if the whole does not fit.

Recall comes first: tables are ranked by the words that they share with the question (BM25
over names, comments and samples), the best are joined up along foreign keys, and the rest of
the room is filled in order of rank. Columns are left out only when a needed table does not
fit whole. Not covered: how much room a model has (the caller says it and may bring `measure`),
and what words mean (the caller may bring `similar`, see `models.embedding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sqlcoder_magic.schema.found import plural
from sqlcoder_magic.schema.ranking import Index, index_of
from sqlcoder_magic.schema.words import question_words, words
from sqlcoder_magic.types import Column, Schema, Table

STRONG = 8  # the best so many tables are worth their connections and, cut, a place
CONNECTIONS_S = 3  # foreign keys at most between two chosen tables
FULL_AFTER = 20  # tables in a row that do not fit; measuring all the others could take seconds
FEWEST_COLUMNS = 3  # of a cut table; less is not worth its place

FUSION = 60  # places; reciprocal rank fusion's usual constant (Cormack et al., SIGIR 2009)

Measure = Callable[[Table], int]
Ranking = Callable[[str], list[int]]


def select_tables(
    schema: Schema,
    question: str,
    *,
    max_tokens: int,
    measure: Measure | None = None,
    similar: Ranking | None = None,
) -> Schema:
    """The schema itself if it fits into `max_tokens`, else the tables that the question needs.

    `measure` gives a table's tokens in the prompt (default: an estimate from its length).
    `similar` gives the positions of the tables in order of another likeness to the question,
    which is fused with that of words. The tables stay in their order, and a note says how many
    were left out.
    """
    cost = measure or estimated_tokens
    if _fits(schema.tables, max_tokens, cost):
        return schema
    index = index_of(schema)
    pick = _Pick(index, question, cost, max_tokens)
    order: Iterable[int] = index.ranked(question)
    if similar is not None:
        order = fused(index.matches(question), similar(question))
    for rank, position in enumerate(order):
        pick.offer(position, strong=rank < STRONG)
        if pick.refused >= FULL_AFTER:
            break
    chosen = [pick.tables[position] for position in sorted(pick.tables)]
    notes = (*schema.notes, *_notes(schema, chosen, pick))
    return replace(schema, tables=tuple(chosen), notes=notes)


def fused(one: list[int], other: list[int]) -> list[int]:
    """Both rankings as one: the sum of the reciprocals of a position's two places.

    One that a ranking leaves out gets nothing from it.
    """
    scores = dict.fromkeys([*one, *other], 0.0)
    for ranking in (one, other):
        for place, position in enumerate(ranking):
            scores[position] += 1 / (FUSION + place)
    return sorted(scores, key=lambda position: -scores[position])


def estimated_tokens(table: Table) -> int:
    """About how many tokens a table takes in a prompt: a third of its characters."""
    return _estimate(table, table.columns)


def _estimate(table: Table, columns: Iterable[Column]) -> int:
    length = len(table.full_name) + len(table.comment) + 20
    for column in columns:
        length += len(column.name) + len(column.type) + 4
        length += len(column.comment) + 4 if column.comment else 0
        length += sum(len(sample) + 4 for sample in column.samples)
    for key in table.foreign_keys:
        names = len(table.full_name) + len(key.other_table)
        length += sum(len(c) + names + 30 for c in (*key.columns, *key.other_columns)) // 2
    return length // 3 + 1


def _fits(tables: Iterable[Table], max_tokens: int, cost: Measure) -> bool:
    total = 0
    for table in tables:
        total += cost(table)
        if total > max_tokens:
            return False
    return True


@dataclass
class _Pick:
    """The tables chosen so far, by their position in the schema, and the room that is left."""

    index: Index
    question: str
    cost: Measure
    room: int
    refused: int = 0  # tables in a row that did not fit

    def __post_init__(self) -> None:
        self.tables: dict[int, Table] = {}
        self.cut: dict[str, tuple[int, int]] = {}  # name -> columns kept, columns there are

    def offer(self, position: int, *, strong: bool) -> None:
        """Take a table if there is room; a strong one with its connections, or else cut."""
        if position in self.tables:
            return
        if strong and self._take(self._with_connections(position)):
            return
        if self._take([position]) or (strong and self._take_cut(position)):
            self.refused = 0
        else:
            self.refused += 1

    def _take(self, positions: list[int]) -> bool:
        new = [p for p in positions if p not in self.tables]
        needed = sum(self.cost(self.index.tables[p]) for p in new)
        if needed > self.room:
            return False
        self.room -= needed
        self.tables.update((p, self.index.tables[p]) for p in new)
        return True

    def _with_connections(self, position: int) -> list[int]:
        """The table and those between it and what is chosen, by the shortest way there is."""
        came_from: dict[int, int] = {position: position}
        edge = [position]
        for _ in range(CONNECTIONS_S if self.tables else 0):
            edge = [
                (came_from.setdefault(near, here), near)[1]
                for here in edge
                for near in self.index.neighbours[here]
                if near not in came_from
            ]
            for reached in edge:
                if reached in self.tables:
                    return _way_back(reached, came_from)
        return [position]

    def _take_cut(self, position: int) -> bool:
        """Take as many of a table's columns as fit: keys, then what the question names."""
        table = self.index.tables[position]
        order = self._columns_by_need(table)
        low, high = FEWEST_COLUMNS - 1, len(order)
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.cost(_only(table, order[:middle])) <= self.room
            low, high = (middle, high) if fits else (low, middle)
        cut = _only(table, order[:low])
        if low < FEWEST_COLUMNS or self.cost(cut) > self.room:
            return False
        self.room -= self.cost(cut)
        self.tables[position] = cut
        self.cut[table.full_name] = (low, len(table.columns))
        return True

    def _columns_by_need(self, table: Table) -> list[str]:
        asked = question_words(self.question)
        keys = {name for key in table.foreign_keys for name in key.columns}
        keys |= set(table.primary_key) | self.index.referred.get(table.full_name, set())

        def need(column: Column) -> float:
            text = f"{column.name} {column.comment} {' '.join(column.samples)}"
            named = sum(asked.get(word, 0.0) for word in set(words(text)))
            return -named - (0.5 if column.name in keys else 0.0)

        return [column.name for column in sorted(table.columns, key=need)]


def _way_back(end: int, came_from: dict[int, int]) -> list[int]:
    way = [end]
    while came_from[way[-1]] != way[-1]:
        way.append(came_from[way[-1]])
    return way


def _only(table: Table, names: list[str]) -> Table:
    """The table with these columns alone, and the keys that they still make up."""
    kept = set(names)
    return replace(
        table,
        columns=tuple(column for column in table.columns if column.name in kept),
        primary_key=table.primary_key if kept.issuperset(table.primary_key) else (),
        foreign_keys=tuple(key for key in table.foreign_keys if kept.issuperset(key.columns)),
    )


def _notes(schema: Schema, chosen: list[Table], pick: _Pick) -> list[str]:
    notes = []
    left_out = len(schema.tables) - len(chosen)
    if left_out:
        notes.append(
            f"{left_out:,} of {plural(len(schema.tables), 'table')} left out, because they do "
            "not fit the model's context; name the ones you need with --tables."
        )
    for name, (kept, there) in pick.cut.items():
        notes.append(f"{kept:,} of the {there:,} columns of {name} fit the model's context.")
    return notes
