"""Which tables mean what a question says, in whatever words: a small embedding model, if wanted.

Any sentence-transformers checkpoint that pools the mean (all-MiniLM-L6-v2 and its kind), from a
directory or the hub, run by transformers; nothing else is needed. A table is embedded once, by
its name, comment and columns; a question by itself. Not covered: choosing tables (`schema`
fuses this ranking with that by words), and other kinds of pooling.
"""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.errors import ModelLoadError
from sqlcoder_magic.models.files import Checkpoint, find_checkpoint
from sqlcoder_magic.models.loading import _quiet
from sqlcoder_magic.types import Schema, Table

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 64  # texts
MOST_TOKENS = 64  # of a text
MOST_COLUMNS = 16  # of a table are embedded

Progress = Callable[[str, float | None], None]


class Embedder:
    """A loaded embedding model and the tables that it has seen."""

    def __init__(self, name: str, tokenizer: Any, network: Any) -> None:
        self.name = name
        self._tokenizer, self._network = tokenizer, network
        self._known: dict[str, Tensor] = {}  # a table's text -> its vector
        self._tables: dict[int, Tensor] = {}  # by identity of the schema: (tables, width)

    def ranked(
        self, schema: Schema, question: str, on_progress: Progress | None = None
    ) -> list[int]:
        """The positions of all tables, the nearest in meaning first."""
        import torch

        if not schema.tables:
            return []
        tables = self._tables.get(id(schema))
        if tables is None:
            texts = [_table_text(table) for table in schema.tables]
            self._learn(texts, on_progress)
            tables = self._tables[id(schema)] = torch.stack([self._known[text] for text in texts])
            weakref.finalize(schema, self._tables.pop, id(schema), None)
        near = tables @ self.vectors([question])[0]
        return [int(position) for position in near.argsort(descending=True, stable=True)]

    def _learn(self, texts: list[str], on_progress: Progress | None) -> None:
        """Embed those that are new: short ones together, so that little is padding."""
        new = sorted({text for text in texts if text not in self._known}, key=len)
        for start in range(0, len(new), BATCH):
            if on_progress:
                on_progress("reading what the tables mean", start / len(new))
            batch = new[start : start + BATCH]
            self._known.update(zip(batch, self.vectors(batch), strict=True))

    def vectors(self, texts: list[str]) -> Tensor:
        """One vector of length 1 a text: shape (texts, width)."""
        import torch

        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            states = self._network(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        found: Tensor = torch.nn.functional.normalize(mean, dim=1)
        return found


def _table_text(table: Table) -> str:
    """`germany_salesOrders` with its columns, as words that a language model knows."""
    columns = ", ".join(_spaced(column.name) for column in table.columns[:MOST_COLUMNS])
    comment = f" ({table.comment[:200]})" if table.comment else ""
    return f"{_spaced(table.full_name)}{comment}: {columns}"


def _spaced(name: str) -> str:
    return re.sub(r"[_.\W]+|(?<=[a-z])(?=[A-Z])", " ", name).strip().lower()


@lru_cache(maxsize=1)
def open_embedder(name: str) -> Embedder:
    """The embedding model of a directory or hub id, loaded once. Raises ModelError."""
    checkpoint = find_checkpoint(name)
    _require_mean(checkpoint)
    from transformers import AutoModel, AutoTokenizer

    where: dict[str, Any] = {
        "pretrained_model_name_or_path": checkpoint.directory,
        "local_files_only": True,
    }
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(**where)
            network = AutoModel.from_pretrained(**where, use_safetensors=True, dtype="float32")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelLoadError(
            f"The embedding model {name} cannot be loaded: {error}",
            fix="Name a sentence-transformers checkpoint, or switch it off: "
            "%config NL2SQL.embedding_model = ''",
        ) from None
    return Embedder(name, tokenizer, network.eval())


def _require_mean(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint that pools otherwise: its vectors would mean nothing."""
    try:
        pooling = json.loads(
            (checkpoint.directory / "1_Pooling" / "config.json").read_text("utf-8")
        )
    except (OSError, ValueError):
        pooling = {}
    if not pooling.get("pooling_mode_mean_tokens"):
        raise ModelLoadError(
            f"{checkpoint.directory} is no embedding model that pools the mean.",
            fix="Name a sentence-transformers checkpoint such as "
            "sentence-transformers/all-MiniLM-L6-v2.",
        )
