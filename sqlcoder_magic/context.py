"""What the model reads: the tables that fit, their samples and values, the prompt.

Also what every step of one question carries (`Asking`) and who hears of it (`Watcher`). Not
covered: what the model writes (`drafting`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.connection import Database
from sqlcoder_magic.errors import GenerationError, NL2SQLError, QueryTimeoutError, Stopped
from sqlcoder_magic.execute import run_sql
from sqlcoder_magic.models import Model
from sqlcoder_magic.models.embedding import open_embedder
from sqlcoder_magic.prompt import QUESTION_CAP, build_prompt, schema_first, table_text
from sqlcoder_magic.schema import (
    Ranking,
    found_notes,
    lookups,
    read_schema,
    select_tables,
    with_found,
)
from sqlcoder_magic.settings import Settings
from sqlcoder_magic.types import Prompt, Question, Schema, Table, Template

_COUNT_EXACTLY = 300  # tables; beyond, counting tokens would take longer than it is worth
_LOOKUP_S = 3.0  # seconds for all the values that a question mentions
_LOOKUP_ROWS = 1_000  # of one table's values


class Watcher:
    """Hears what `ask` is doing; this one keeps quiet. Displays override what they show."""

    def progress(self, doing: str, share: float | None) -> None:
        """`doing` goes on; `share` of it is done (None: not known)."""

    def model(self, model: Model) -> None:
        """The model is ready."""

    def prompt(self, prompt: Prompt) -> None:
        """What the model is about to read."""

    def text(self, text: str) -> None:
        """All that the model has written so far."""

    def stopped(self) -> None:
        """The user stopped it: what the model has written stays, and nothing else."""

    def dismiss(self) -> None:
        """There will be no answer; an error says why."""


class Clock:
    """Seconds by step, of all the times that it was taken."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self.seconds[step] = self.seconds.get(step, 0.0) + spent


@dataclass(frozen=True)
class Asking:
    """One question on its way: what every step of it may need. `schema` is the whole one."""

    question: Question
    database: Database
    schema: Schema
    settings: Settings
    watcher: Watcher = field(default_factory=Watcher)
    clock: Clock = field(default_factory=Clock)


def chosen_tables(asking: Asking, model: Model) -> Schema:
    """The tables that fit the model's context, with the samples and values that are wanted."""
    settings = asking.settings
    chosen = _fitting(asking.schema, asking, model, _similar(asking))
    if settings.samples_per_column:
        chosen = _fitting(_sampled(chosen, asking), asking, model)
    if settings.values:
        asking.watcher.progress("looking up values", None)
        chosen = _fitting(with_mentioned_values(chosen, asking), asking, model)
    return chosen


def prompt_for(asking: Asking, chosen: Schema, model: Model) -> Prompt:
    """What the model reads of these tables and the question."""
    template = _template(model)
    if asking.settings.schema_first:
        template = schema_first(template)
    return build_prompt(asking.question, chosen, template=template, count_tokens=model.count_tokens)


def cut_note(question: Question) -> tuple[str, ...]:
    """A note on a question that is longer than the model may read."""
    length = len(" ".join(question.text.split()))
    if length <= QUESTION_CAP:
        return ()
    return (f"The model read the first {QUESTION_CAP:,} of the question's {length:,} characters.",)


def _similar(asking: Asking) -> Ranking | None:
    """The tables by meaning, if the user named a model for it; loaded only if not all fit."""
    name = asking.settings.embedding_model
    if not name:
        return None
    return lambda question: open_embedder(name).ranked(
        asking.schema, question, asking.watcher.progress
    )


def _fitting(
    schema: Schema, asking: Asking, model: Model, similar: Ranking | None = None
) -> Schema:
    """The tables that fit the model's context beside the question and the answer."""
    template = _template(model)
    frame = build_prompt(asking.question, Schema(schema.dialect, ()), template=template)
    room = model.spec.context - asking.settings.max_new_tokens - model.count_tokens(frame.text)

    def measure(table: Table) -> int:
        text = table_text(table, template.style, schema.dialect)
        hints = 24 * len(table.foreign_keys)  # tokens of a join hint, generously
        if len(schema.tables) > _COUNT_EXACTLY:
            return len(text) // 3 + hints
        return model.count_tokens(text) + 1 + hints

    return select_tables(
        schema, asking.question.text, max_tokens=max(room, 1), measure=measure, similar=similar
    )


def _sampled(chosen: Schema, asking: Asking) -> Schema:
    """The chosen tables with values of their text columns; only now, so that few are asked."""
    names = [table.full_name for table in chosen.tables]
    wanted = asking.settings.samples_per_column
    sampled = read_schema(asking.database, tables=names, samples_per_column=wanted)
    found = {(t.full_name, c.name): c.samples for t in sampled.tables for c in t.columns}
    notes = tuple(dict.fromkeys(chosen.notes + sampled.notes))
    return replace(with_found(chosen, found), notes=notes)


def with_mentioned_values(chosen: Schema, asking: Asking) -> Schema:
    """The chosen tables with the values that the question mentions, looked up under guard."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    skipped: list[str] = []
    until = time.monotonic() + _LOOKUP_S
    for lookup in lookups(chosen, asking.question.text):
        left = max(until - time.monotonic(), 0.0)
        try:
            if not left:
                raise QueryTimeoutError("There is no time left.")
            checked = check_sql(lookup.sql, chosen)
            frame = run_sql(checked, asking.database, row_limit=_LOOKUP_ROWS, timeout_s=left)
        except Stopped:
            raise
        except NL2SQLError:  # a view that is broken, a table too large: the question goes on
            skipped.append(lookup.table)
            continue
        for position, value in frame.itertuples(index=False, name=None):
            place = (lookup.table, lookup.columns[position])
            found[place] = tuple(dict.fromkeys((*found.get(place, ()), str(value))))
    left_out = (f"No values were looked up in {', '.join(skipped)}.",) if skipped else ()
    notes = (*chosen.notes, *found_notes(found), *left_out)
    return replace(with_found(chosen, found), notes=notes)


def _template(model: Model) -> Template:
    template = model.spec.template
    if template is None:
        raise GenerationError(
            f"The model {model.spec.name} names no prompt template.",
            fix="Give its ModelSpec one: ModelSpec(..., template=Template(...)).",
        )
    return template
