"""What of a schema is nearest to a question's words, and when nothing is.

For saying no with something to go on, and for doubting an answer that looks good. By the words
of names, comments and samples (`ranking`), then by spelling. Not covered: meaning beyond words.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from sqlcoder_magic.schema.ranking import index_of
from sqlcoder_magic.schema.words import question_words, words
from sqlcoder_magic.types import Schema, Table

_COLUMNS = 4  # named for a table, at most
_ALIKE = 0.75  # difflib's ratio, from which two words may be the same one misspelt
_LISTED = 6  # tables named where nothing is near
# What questions in German, Dutch, French, Spanish, Portuguese and Italian are built of: a question
# with two of these is not English. (One may be of a name: Los Angeles, Le Mans.)
_NOT_ENGLISH = frozenset(
    "wie viele welche welcher welches wieviel und der das ein eine ist sind wurden für mit von "
    "hoeveel welke het een zijn voor met hebben combien quel quelle quels quelles les des une est "
    "sont dans par avec pour cuántos cuántas cuantos cuantas cuál cuáles qué los las una el en por "
    "con para hay quantos quantas quais qual os uma são tem em com quanti quante quanto quali gli "
    "il sono ci nel nella della per ogni che di de la le du et y e à au".split()
)
# A question that begins so wants something changed. "Update me on …" and "Drop-out rate" do not.
_WRITES = re.compile(
    r"\s*(?:please\s+)?(?:delete|drop|insert|truncate|alter|remove|erase|create|update|set)\s+"
    r"(?!me\b|us\b)\w",
    re.IGNORECASE,
)


def nearest_note(schema: Schema, question: str) -> str:
    """A sentence: what the schema does have, for a question that cannot be answered from it."""
    near = nearest_names(schema, question)
    if near:
        return "Nearest to your words: " + ", ".join(near) + "."
    names = ", ".join(table.full_name for table in schema.tables[:_LISTED])
    more = len(schema.tables) - _LISTED
    return f"Nothing in the schema is near your words. It has {names}" + (
        f" and {more:,} more." if more > 0 else "."
    )


def doubts(schema: Schema, question: str) -> tuple[str, ...]:
    """Why SQL that looks good may answer something else than was asked, a sentence each."""
    notes: tuple[str, ...] = ()
    if not shares_a_word(schema, question):
        notes += (
            "No word of the question is in the schema: it may be about other data, or in a "
            "language that the model does not read. Read the SQL before you believe it.",
        )
    elif len(_NOT_ENGLISH & set(re.findall(r"[^\W\d_]+", question.lower()))) > 1:
        notes += (
            "The question seems not to be in English, the only language that the SQLCoders read "
            "well. Read the SQL before you believe it.",
        )
    return notes


def only_reads_note(question: str) -> tuple[str, ...]:
    """A sentence for a question that wants something changed."""
    if _WRITES.match(question):
        return ("Questions only read: nothing in the database is changed.",)
    return ()


def shares_a_word(schema: Schema, question: str) -> bool:
    """Whether any word of the question that says something is anywhere in the schema."""
    postings = index_of(schema).postings
    asked = question_words(question)
    if any(word in postings for word in asked):
        return True
    return any(len(word) > 3 and word in known for word in asked for known in postings)


def nearest_names(schema: Schema, question: str, limit: int = 3) -> tuple[str, ...]:
    """`table (column, column)` for the tables that are nearest, the nearest first.

    Columns are named where they are what is near. Empty if nothing is.
    """
    asked = set(question_words(question))
    index = index_of(schema)
    asked |= {near for word in asked for near in get_close_matches(word, index.postings, 1, _ALIKE)}
    found = []
    for position in index.ranked(" ".join(sorted(asked))):
        named = _named(schema.tables[position], asked)
        if named:
            found.append(named)
        if len(found) == limit:
            break
    return tuple(found)


def _named(table: Table, asked: set[str]) -> str:
    """The table with its columns that the question is about; empty if it is about none of it."""
    wanted = asked - set(words(table.name))  # `customers (customer_id)` says nothing more
    columns = [column.name for column in table.columns if wanted & set(words(column.name))]
    if columns:
        return f"{table.full_name} ({', '.join(columns[:_COLUMNS])})"
    texts = (table.name, table.comment, *(column.comment for column in table.columns))
    return table.full_name if any(asked & set(words(text)) for text in texts if text) else ""
