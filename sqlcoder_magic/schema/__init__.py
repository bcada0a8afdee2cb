"""Database -> Schema: one reader a dialect family, a cache, and the tables a question needs.

`reading` is the way in; it asks one of `sqlite`, `duckdb`, `postgres`, `mysql`, `catalogues` (by
the statements in `warehouses`) and `inspector`, which fill a `found.Found`; `stoppable` lets Ctrl-C
through; `cache` and `disk` keep the result; `guessing` adds the joins that nobody
declared; `selection` cuts it to a question; `values` looks up what the question mentions.
"""

from sqlcoder_magic.schema.guessing import guess_notes, with_guessed_joins
from sqlcoder_magic.schema.nearest import doubts, nearest_note, only_reads_note
from sqlcoder_magic.schema.reading import (
    choose_tables,
    doubt_schema,
    read_schema,
    refresh_schema,
    schema_age_s,
)
from sqlcoder_magic.schema.selection import Ranking, select_tables
from sqlcoder_magic.schema.values import found_notes, lookups, with_found

__all__ = [
    "Ranking",
    "choose_tables",
    "doubt_schema",
    "doubts",
    "found_notes",
    "guess_notes",
    "lookups",
    "nearest_note",
    "only_reads_note",
    "read_schema",
    "refresh_schema",
    "schema_age_s",
    "select_tables",
    "with_found",
    "with_guessed_joins",
]
