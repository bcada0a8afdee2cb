"""What the tests of this room share: SQL that no check has seen, and pressing Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from sqlcoder_magic.types import _SEAL, CheckedSQL

Unchecked = Callable[..., CheckedSQL]


@pytest.fixture
def unchecked() -> Unchecked:
    """`unchecked(dialect, sql, *tables)`: the first layer switched off, only the guard is left."""

    def make(dialect: str, sql: str, *tables: str) -> CheckedSQL:
        return CheckedSQL(sql, dialect, tables, seal=_SEAL)

    return make


@pytest.fixture
def ctrl_c() -> Callable[..., AbstractContextManager[list[float]]]:
    """`with ctrl_c(when):` sends a real SIGINT as soon as `when()` is true."""

    @contextmanager
    def press(when: Callable[[], bool]) -> Iterator[list[float]]:
        pressed: list[float] = []
        over = threading.Event()

        def wait_and_press() -> None:
            while not over.is_set():
                if when():
                    pressed.append(time.monotonic())
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                over.wait(0.02)

        thread = threading.Thread(target=wait_and_press)
        thread.start()
        try:
            yield pressed
        finally:
            over.set()
            thread.join()

    return press
