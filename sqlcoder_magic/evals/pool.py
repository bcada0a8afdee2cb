"""Worker processes that score drafts, so that a hang or a crash costs one question.

A thread cannot be stopped from outside, a process can: the parent watches the clock of each
worker, kills one that does not come back, counts its question as a timeout and starts another.
Not covered: the model, which stays in the parent and has a time limit of its own.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.evals.outcome import Outcome
from sqlcoder_magic.evals.suites import Item
from sqlcoder_magic.types import Draft

if TYPE_CHECKING:
    from sqlcoder_magic.evals.runner import Scorer

GRACE_S = 10.0  # beyond the statements' own limits, before a worker counts as hanging
_START_S = 120.0  # to import everything on a busy machine
_GOLD, _READY = "gold", "ready"  # what a worker says besides outcomes
_Task = tuple[Item, Draft]


def _work(connection: Any, scorer: Scorer) -> None:
    """A worker's life: a task in, word that its gold ran, its outcome; until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends us
    connection.send(_READY)
    while (task := connection.recv()) is not None:
        item, draft = task
        golds = scorer.golds(item)
        connection.send(_GOLD)
        done = golds if isinstance(golds, Outcome) else scorer.judged(item, draft, golds)
        connection.send(done)


@dataclass
class _Worker:
    """A process, our end of its pipe, and what it is at."""

    process: SpawnProcess
    connection: Connection[Any, Any]
    deadline: float
    ready: bool = False
    task: _Task | None = None
    gold_ran: bool = False


class Pool:
    """`with Pool(scorer, workers, keep) as pool: pool.submit(item, draft)`.

    `keep` is called in this process with each outcome, in the order in which they come. Leaving
    the block waits for all of them; leaving it by an exception ends the workers at once.
    """

    def __init__(self, scorer: Scorer, workers: int, keep: Callable[[Outcome], None]) -> None:
        self._scorer, self._keep = scorer, keep
        self._context = multiprocessing.get_context("spawn")  # no fork of a process with threads
        self._waiting: deque[_Task] = deque()
        self._workers = [self._started() for _ in range(workers)]

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while kind is None and (self._waiting or any(one.task for one in self._workers)):
                self._turn(patience_s=0.2)
        finally:
            for worker in self._workers:
                _end(worker)

    def submit(self, item: Item, draft: Draft) -> None:
        """Queue a draft, and take whatever is done by now."""
        self._waiting.append((item, draft))
        self._turn(patience_s=0.0)

    def _started(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._scorer), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours, time.monotonic() + _START_S)

    def _turn(self, *, patience_s: float) -> None:
        """Hand out what waits, hear what came, end who is late."""
        for worker in self._workers:
            if worker.ready and worker.task is None and self._waiting:
                self._hand(worker, self._waiting.popleft())
        heard = wait([worker.connection for worker in self._workers], timeout=patience_s)
        for place, worker in enumerate(self._workers):
            if worker.connection in heard:
                self._listen(place, worker)
            elif time.monotonic() > worker.deadline and (worker.task or not worker.ready):
                self._replace(place, worker, "hung and was ended")

    def _hand(self, worker: _Worker, task: _Task) -> None:
        worker.task, worker.gold_ran = task, False
        limit = self._scorer.timeout_s * max(len(task[0].golds), 1) + GRACE_S
        worker.deadline = time.monotonic() + limit
        worker.connection.send(task)

    def _listen(self, place: int, worker: _Worker) -> None:
        try:
            word = worker.connection.recv()
        except (EOFError, OSError):
            self._replace(place, worker, "died")
            return
        if isinstance(word, Outcome):
            worker.task = None
            self._keep(word)
        elif word == _READY:
            worker.ready = True
        else:
            worker.gold_ran = True
            worker.deadline = time.monotonic() + self._scorer.timeout_s + GRACE_S

    def _replace(self, place: int, worker: _Worker, what: str) -> None:
        """End a worker, count its question, and start another in its place."""
        _end(worker)
        if not worker.ready:
            raise RuntimeError(f"A worker process {what} before its first question.")
        self._workers[place] = self._started()
        if worker.task is None:
            return
        item, draft = worker.task
        if worker.gold_ran:
            message = f"The process that scored it {what}."
            self._keep(self._scorer.outcome(item, draft, "", "timeout", message))
        else:
            message = f"The process that ran its gold {what}."
            self._keep(self._scorer.outcome(item, draft, "", "gold", message))


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.connection.close()
