"""Run a guard's work so that the time limit and Ctrl-C reach it.

Drivers differ: psycopg hears Ctrl-C, others hear it when the query is over, and sqlite3's
objects belong to the thread that made them. So a `threaded` guard works in a thread of its
own while this one waits and can always be interrupted; SQLite works here, its progress
handler lets Python look for signals, and a timer interrupts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread, Timer
from typing import Generic, TypeVar

from sqlcoder_magic.execute.base import Guard

T = TypeVar("T")

_POLL_S = 0.2  # how often the waiting thread looks up: Windows hears Ctrl-C only then


@dataclass
class Outcome(Generic[T]):
    """How the work ended: a value or an error, and who stopped it, if anyone.

    `worker` is a thread that did not end although it was cancelled; whoever closes what it
    uses has to wait for it.
    """

    value: T | None = None
    error: BaseException | None = None
    late: bool = False
    stopped: bool = False
    worker: Thread | None = None
    _done: Event = field(default_factory=Event, repr=False)

    def run(self, work: Callable[[], T]) -> None:
        """Do the work and keep how it ended."""
        try:
            self.value = work()
        except BaseException as error:  # noqa: BLE001 - kept, and raised again by the caller
            self.error = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> bool:
        """True as soon as the work has ended, False after `seconds`."""
        return self._done.wait(seconds)


def watch(
    guard: Guard, work: Callable[[], T], seconds: float, stop: Event, patience_s: float
) -> Outcome[T]:
    """Do `work`, at most `seconds` long. `stop` is set as soon as it should end.

    A cancelled query has `patience_s` to end (most take milliseconds); then it is left to itself.
    """
    outcome: Outcome[T] = Outcome()

    def cancel() -> None:
        stop.set()
        guard.cancel()

    if guard.threaded:
        _in_a_thread(outcome, work, seconds, cancel, patience_s)
    else:
        _here(outcome, work, seconds, cancel)
    return outcome


def _here(
    outcome: Outcome[T], work: Callable[[], T], seconds: float, cancel: Callable[[], None]
) -> None:
    def time_is_up() -> None:
        outcome.late = True
        cancel()

    timer = Timer(seconds, time_is_up)
    timer.daemon = True
    timer.start()
    try:
        outcome.run(work)
    finally:
        timer.cancel()
    if isinstance(outcome.error, KeyboardInterrupt):
        outcome.stopped = True


def _in_a_thread(
    outcome: Outcome[T],
    work: Callable[[], T],
    seconds: float,
    cancel: Callable[[], None],
    patience_s: float,
) -> None:
    worker = Thread(target=outcome.run, args=(work,), name="sqlcoder-magic query", daemon=True)
    deadline = time.monotonic() + seconds
    try:
        worker.start()
        while not outcome.wait(min(_POLL_S, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                outcome.late = True
                break
    except KeyboardInterrupt:
        outcome.stopped = True
    if outcome.late or outcome.stopped:
        # A cancel can come between two calls of the driver and be lost, so it is repeated.
        until = time.monotonic() + patience_s
        with suppress(KeyboardInterrupt):  # pressed twice: do not wait any longer
            while not outcome.wait(0.0) and time.monotonic() < until:
                cancel()
                outcome.wait(_POLL_S)
    if not outcome.wait(0.0):
        outcome.worker = worker
