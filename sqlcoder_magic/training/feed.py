"""Batches for the loop, made by other processes while it runs, the same for the same seed.

Batches come in chunks; chunk `index` of a phase depends on the seed alone, so a run that is
resumed at (chunk, place) goes on with the very batches that it would have had.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from sqlcoder_magic.training.data import load
from sqlcoder_magic.training.mix import Mixer
from sqlcoder_magic.training.pack import Batch, collate, groups, load_tokens, packs

AHEAD = 8  # batches of a chunk


@dataclass(frozen=True)
class Feed:
    """Where lessons come from, and how large batches are (`budget` padded tokens)."""

    corpus: Path
    tokenizer: Path
    seed: int = 0
    budget: int = 24_576
    limit: int = 2_048  # tokens of a pack

    def chunk(self, mixer: Mixer, tokens: Any, phase: int, index: int) -> list[Batch]:
        """The batches of a chunk."""
        rng = Random(f"{self.seed}/{phase}/{index}")
        stream = packs(mixer, tokens, self.limit, rng, phase)
        ready, size = [], 0
        while size < self.budget * AHEAD:
            ready.append(next(stream))
            size += len(ready[-1].ids)
        return [collate(group) for group in groups(ready, self.budget, rng)]


_made: dict[Feed, tuple[Mixer, Any]] = {}  # of this process


def _chunk(feed: Feed, phase: int, index: int) -> list[Batch]:
    if feed not in _made:
        _made[feed] = Mixer(load(feed.corpus)), load_tokens(feed.tokenizer)
    return feed.chunk(*_made[feed], phase, index)


class Feeder:
    """Chunks in order, made ahead by `workers` processes (0: by this one, when asked for)."""

    def __init__(self, feed: Feed, workers: int) -> None:
        self.feed, self.workers = feed, workers
        self._pool: Executor | None = None
        if workers:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, mp_context=spawn)
        self._waiting: deque[Future[list[Batch]]] = deque()
        self._phase = 0
        self._next = 0

    def chunk(self, phase: int, index: int) -> list[Batch]:
        """The chunk, and the following ones of its phase are begun."""
        if self._pool is None:
            return _chunk(self.feed, phase, index)
        if phase != self._phase or index != self._next - len(self._waiting):
            for future in self._waiting:
                future.cancel()
            self._waiting.clear()
            self._phase, self._next = phase, index
        while len(self._waiting) < self.workers + 3:
            self._waiting.append(self._pool.submit(_chunk, self.feed, phase, self._next))
            self._next += 1
        return self._waiting.popleft().result()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def some_packs(feed: Feed, phase: int, count: int) -> Iterator[Batch]:
    """The first `count` batches of a phase, made in this process."""
    index = 0
    while count > 0:
        for batch in _chunk(feed, phase, index)[:count]:
            count -= 1
            yield batch
        index += 1
