"""Questions written for a schema: what the collected data has too few of.

`generate` draws a writer of `ask_table` or `ask_joins` until one fits. Its SQL is right by
construction: every name is taken from the schema, every column from the table it is asked of.
"""

from __future__ import annotations

from random import Random

from sqlcoder_magic.training import ask_joins, ask_table
from sqlcoder_magic.training.query import OWN_NAMES
from sqlcoder_magic.training.view import Asked, edges, view_of, walk
from sqlcoder_magic.types import Schema

_HOPS = (2, 2, 2, 3, 3, 4)  # tables on a path


def generate(
    schema: Schema, rng: Random, *, joins: float = 0.6, own_names: float = OWN_NAMES
) -> Asked | None:
    """A question and its SQL; `joins` is the share that joins where keys allow it.

    `own_names` of those call tables by their own names.
    """
    joinable = bool(edges(schema))
    views = [view_of(table, schema.dialect) for table in schema.tables]
    weights = [3 if view.dates else 1 for view in views]  # dates are rare in the corpus
    for _ in range(8):
        if joinable and rng.random() < joins:
            path = walk(schema, rng.choice(_HOPS), rng, own_names=own_names)
            asked = rng.choice(ask_joins.WRITERS)(path, rng) if path else None
        else:
            view = rng.choices(views, weights)[0]
            asked = rng.choice(ask_table.WRITERS)(view, rng)
        if asked is not None:
            return asked
    return None
