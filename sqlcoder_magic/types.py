"""The values that flow through `pipeline.ask`, frozen, in the order in which they appear.

Standard library only. Nothing here reads a database, a file or a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.errors import NL2SQLError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Column:
    """A column of a table or view.

    `type` is spelled as the engine spells it; `samples` are values shown to the model: at most
    three of a text column, if the user asked for samples, and always an enum's values.
    `generated` is True if the engine computes it from other columns.
    """

    name: str
    type: str
    nullable: bool
    comment: str = ""
    samples: tuple[str, ...] = ()
    generated: bool = False


@dataclass(frozen=True)
class ForeignKey:
    """`columns` of the table that holds it refer to `other_columns` of `other_table`.

    Both tuples have the same length. `other_table` is spelled like `Table.full_name`. `guessed`
    is True if nobody declared it: names and types gave it away.
    """

    columns: tuple[str, ...]
    other_table: str
    other_columns: tuple[str, ...]
    guessed: bool = False


@dataclass(frozen=True)
class Table:
    """A table or view. `namespace` is its schema, empty if it needs none to be found.

    `kind` is "table", "view", "materialized view" or "foreign table". `unique_keys` are those
    besides the primary key, compound ones whole. `rows` is the catalogue's estimate, as old as
    the engine's statistics; None if it has none.
    """

    name: str
    namespace: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...]
    comment: str = ""
    kind: str = "table"
    unique_keys: tuple[tuple[str, ...], ...] = ()
    rows: int | None = None

    @property
    def full_name(self) -> str:
        """`namespace.name`, or the name alone; not quoted."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


@dataclass(frozen=True)
class Schema:
    """The tables of one database in one dialect (sqlglot's name: sqlite, postgres, duckdb …).

    `notes` says what could not be read, a sentence each.
    """

    dialect: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What the user asks. `history` holds earlier (question, SQL) pairs, oldest first.

    `instructions` are what the model should know besides the schema, a line each.
    """

    text: str
    instructions: str = ""
    history: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PromptPart:
    """A stretch of a prompt. Only a `special` part may become a special token."""

    text: str
    special: bool = False


@dataclass(frozen=True)
class Prompt:
    """What the model reads.

    `tables` are the full names of the tables in it; `tokens` is its length in tokens
    (0 if nobody counted). `parts` joined give `text`: text from the schema and the user is
    never special, so a column called `<|im_end|>` stays a name.
    """

    text: str
    tables: tuple[str, ...]
    tokens: int = 0
    parts: tuple[PromptPart, ...] = ()


@dataclass(frozen=True)
class Template:
    """How one family of models was asked when it was trained, byte for byte.

    `text` has the slots `{user_question}`, `{table_metadata_string}` and perhaps
    `{instructions}`; `style` names the layout of the schema text: "defog" (a comment line
    after each column, as Defog's models saw it) or "tiny" (keys and samples in line, as the
    bundled model saw it). `special` are the tokens in `text` that are not plain text.
    """

    name: str
    text: str
    style: str = "defog"
    special: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelSpec:
    """Which model, in which precision. Equality decides whether the loaded one is reused.

    `name` is a catalog name, a Hugging Face id or a local directory; `quantization` is what
    was decided, never "auto"; the reason for it does not take part in equality.
    """

    name: str
    backend: str
    quantization: str
    device: str = "cpu"
    template: Template | None = field(default=None, compare=False)
    context: int = field(default=2048, compare=False)
    stops: tuple[str, ...] = field(default=(), compare=False)
    reason: str = field(default="", compare=False)


@dataclass(frozen=True)
class Draft:
    """What the model wrote, and what it cost.

    `seconds` is the whole generation, `first_token_s` the part of it before the first token;
    `logprob` is the sum of the chosen tokens' log-probabilities (None if not known);
    `finished` is False if a limit stopped it. `least_logprob` is the lowest log-probability of a
    single token: where the model was least sure. `candidates` are the drafts of a beam search or
    of sampling, (text, sum of log-probabilities), the best first; the first is this draft.
    `agreement` is the share of the probability of all that were drawn that goes to drafts with
    this one's result (None where none were compared).
    """

    text: str
    model: str
    prompt_tokens: int
    new_tokens: int
    seconds: float
    first_token_s: float
    logprob: float | None = None
    finished: bool = True
    least_logprob: float | None = None
    candidates: tuple[tuple[str, float], ...] = ()
    agreement: float | None = None


_SEAL = object()


@dataclass(frozen=True)
class CheckedSQL:
    """SQL that the guard let through. `check_sql` alone makes one, and `run_sql` takes only this.

    `sql` is the very text that was checked; `dialect` is the one it was parsed in; `tables`
    are the full names of the tables it reads; `notes` say what the guard noticed.
    """

    sql: str
    dialect: str
    tables: tuple[str, ...]
    notes: tuple[str, ...] = ()
    seal: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("CheckedSQL is made by check_sql(sql, schema) alone; call that.")


@dataclass(frozen=True)
class Plan:
    """How the engine would run a query, which was not run for it.

    `text` is the plan, a line a step. `rows` is the most rows that any one step is expected to
    give, `bytes` the bytes that would be read; each is None where the engine estimates none.
    """

    text: str
    rows: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Answer:
    """What `ask` gives back. `frame` is None unless the SQL was run, `plan` unless it was asked
    for.

    `checked` is None where the guard refused; `error` then says why, and it says as well why a
    run that was asked for gave no rows. `refused` is True where the model itself said that it
    does not know; `sql` is then empty.
    `timings` holds seconds by step: schema, load, first_token, generate, check, query.
    `confidence` is between 0 and 1, or None where it was not estimated. Shown at a prompt it leaves
    out what fills pages: frame, draft and prompt.
    """

    question: Question
    sql: str
    frame: pd.DataFrame | None = field(repr=False)
    checked: CheckedSQL | None
    draft: Draft = field(repr=False)
    notes: tuple[str, ...] = ()
    confidence: float | None = None
    refused: bool = False
    error: NL2SQLError | None = None
    prompt: Prompt | None = field(default=None, repr=False)
    timings: Mapping[str, float] = field(default_factory=dict)
    plan: Plan | None = None

    def to_dict(self) -> dict[str, Any]:
        """The plain facts, ready for JSON: question, sql, notes, confidence, plan, seconds; never
        rows."""
        return {
            "question": self.question.text,
            "sql": self.sql,
            "notes": list(self.notes),
            "refused": self.refused,
            "confidence": self.confidence,
            "plan": self.plan.text if self.plan is not None else None,
            "seconds": dict(self.timings),
        }
