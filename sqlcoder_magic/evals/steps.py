"""A model with the steps around it as a `predict`: values, candidates, the second try.

The very functions of `ask`, over the suite's schema and its SQLite files. Not covered: other
engines, choosing among many tables (suites show the whole schema), memory.
"""

from __future__ import annotations

import time
from dataclasses import replace

from sqlcoder_magic.check import is_refusal
from sqlcoder_magic.connection import open_database
from sqlcoder_magic.context import Asking, prompt_for, with_mentioned_values
from sqlcoder_magic.drafting import best_of, first_draft
from sqlcoder_magic.evals.runner import Predict
from sqlcoder_magic.evals.suites import Suite
from sqlcoder_magic.models import Model
from sqlcoder_magic.settings import Settings
from sqlcoder_magic.types import Draft, Question, Schema


def steps_predictor(model: Model, suite: Suite, settings: Settings) -> Predict:
    """The draft of the SQL that `ask` would give with these settings; its seconds are those of
    all the steps. With `settings.run` candidates are run, as for a user who asked for rows."""
    names = {id(schema): db for db, schema in suite.schemas.items()}

    def predict(question: Question, schema: Schema) -> Draft:
        database = open_database(f"sqlite:///{suite.databases[names[id(schema)]]}")
        asking = Asking(question, database, schema, settings)
        began = time.monotonic()
        chosen = with_mentioned_values(schema, asking) if settings.values else schema
        prompt = prompt_for(asking, chosen, model)
        draft = first_draft(asking, model, prompt, chosen)
        if not is_refusal(draft.text):
            draft = best_of(asking, model, prompt, chosen, draft).draft
        return replace(draft, seconds=time.monotonic() - began)

    return predict
