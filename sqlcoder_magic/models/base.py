"""What a model is to the rest of the package: a protocol of four members.

`local.LocalModel` and `fake.FakeModel` implement it; so can a user's own class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sqlcoder_magic.models.constrain import Constraint
from sqlcoder_magic.types import Draft, ModelSpec, Prompt

OnText = Callable[[str], None]
"""Called with the whole text so far, each time there is more of it."""

OnProgress = Callable[[str, float | None], None]
"""Called with what is being done and the share of it that is done (None: not known)."""


def no_progress(doing: str, share: float | None) -> None:
    """Shows nothing."""


class Model(Protocol):
    """A text-to-SQL model that is ready to write."""

    @property
    def spec(self) -> ModelSpec:
        """Which model this is, in which precision, and why."""

    @property
    def memory_bytes(self) -> int:
        """Bytes that the weights hold, on whichever device they are."""

    def count_tokens(self, text: str) -> int:
        """The length of `text` in this model's tokens."""

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        timeout_s: float,
        beams: int = 1,
        samples: int = 0,
        seed: int = 0,
        constraint: Constraint | None = None,
        on_text: OnText | None = None,
    ) -> Draft:
        """Write an answer. Raises GenerationError; KeyboardInterrupt leaves the model usable.

        With `beams` above 1 or `samples` above 0 (drawn at random from `seed`), the draft is the
        best of them and `Draft.candidates` holds them all. `constraint` holds the answer to a
        schema.
        """

    def unload(self) -> None:
        """Give the memory back. The model cannot be used afterwards."""
