"""A model that replies what it was told to: for this package's tests and for users' own.

model = FakeModel(["SELECT COUNT(*) FROM sales"])
ask("How many sales?", engine, model)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from sqlcoder_magic.errors import GenerationError
from sqlcoder_magic.models.base import OnText
from sqlcoder_magic.models.catalog import TINY
from sqlcoder_magic.models.constrain import Constraint
from sqlcoder_magic.types import Draft, ModelSpec, Prompt

Reply = str | Draft | BaseException


class FakeModel:
    """Replies in the order given; `prompts` keeps what it was asked.

    A text becomes a draft; a Draft (with candidates, say) is given as it is; an exception is
    raised.
    """

    def __init__(self, replies: Iterable[Reply] = ()) -> None:
        self.replies: deque[Reply] = deque(replies)
        self.prompts: list[Prompt] = []
        self.spec = ModelSpec(
            "fake", "fake", "none", template=TINY.template, reason="queued replies"
        )
        self.memory_bytes = 0

    def enqueue(self, replies: Iterable[Reply]) -> None:
        """Add replies to the queue."""
        self.replies.extend(replies)

    def count_tokens(self, text: str) -> int:
        """One token for every four characters."""
        return len(text) // 4

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
        """The next reply; GenerationError when there is none left."""
        self.prompts.append(prompt)
        if not self.replies:
            raise GenerationError("The fake model has no reply left.", fix="Call enqueue([...]).")
        reply = self.replies.popleft()
        if isinstance(reply, BaseException):
            raise reply
        if isinstance(reply, Draft):
            return reply
        if on_text:
            on_text(reply)
        count = self.count_tokens
        return Draft(reply, "fake", count(prompt.text), count(reply), 0.0, 0.0)

    def unload(self) -> None:
        """Nothing to give back."""
