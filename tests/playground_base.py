"""What the engines of `playground.py` share: the directory of files, the hidden table, what is
planted in both, and how a harm is seen (`fingerprint`).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Any

from sqlcoder_magic.errors import QueryTimeoutError

sys.path.insert(0, str(Path(__file__).absolute().parent / "check"))

PATIENCE_S = 0.4  # before an unguarded statement that does not end is stopped
ROWS = 100  # fetched at most
# Planted in the hidden table and in every file: whoever shows one of these has read too much.
LEAKS = ("swordfish", "cuttlefish")
_GONE = "gone"  # no fingerprint begins like this
# A table that is in the database and in no schema that the check is given.
HIDDEN = (
    "CREATE TABLE secrets (id INTEGER, x INTEGER, a INTEGER, name VARCHAR(20), pin VARCHAR(20), "
    "password VARCHAR(20))",
    f"INSERT INTO secrets VALUES (1, 1, 1, 'Pen', '1234', '{LEAKS[0]}')",
)
_NETWORK = re.compile(r"(?i)https?://|s3://|^install |^load |^update extensions|dblink|mysql_scan")
_STOPPED = re.compile(r"(?i)interrupt|canceling statement due to|query execution was")


def needs_network(sql: str) -> bool:
    """Whether the statement would ask another machine, or the registry of DuckDB's extensions."""
    return bool(_NETWORK.search(sql))


def digest(*parts: Any) -> str:
    """A hash of anything that prints the same if it is the same."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()


class Playground:
    """An engine to do harm on. `target` is what `run_sql` is given."""

    dialect = ""
    label = ""
    target: Any

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="play-", dir="/tmp"))
        self.directory.chmod(0o777)  # the server may be another user
        self.files = self.directory / "files"
        self._lay_files()

    def _lay_files(self) -> None:
        shutil.rmtree(self.files, ignore_errors=True)
        (self.files / "data").mkdir(parents=True)
        self.files.chmod(0o777)
        for name in ("x.csv", "data.csv", "canary"):
            text = f"a,b,x,pin,name\n1,2,3,{LEAKS[1]},Pen\n"
            (self.files / name).write_text(text, encoding="utf-8")
        for name in ("x.json", "data/x.json"):
            (self.files / name).write_text(f'{{"a": "{LEAKS[1]}"}}\n', encoding="utf-8")

    def prepared(self, sql: str) -> str:
        """The text as it is run here."""
        sql = re.sub(r"(?<=\d)000000\b", "000", sql)
        return sql.replace("/tmp/", f"{self.files}/")

    def run(self, sql: str, seconds: float = PATIENCE_S) -> list[Any]:
        """The first rows, without any guard; what takes longer than `seconds` is stopped."""
        with contextlib.chdir(self.files):
            return self._run(sql, seconds)

    @contextmanager
    def _watched(self, seconds: float) -> Iterator[None]:
        """Stops what stands in it after `seconds`, and nothing that comes later."""
        sent: list[float] = []

        def stop() -> None:
            sent.append(seconds)
            self._stop()

        timer = Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # a stop that has begun is sent before anything else runs
            if sent:
                self._absorb()

    def fingerprint(self) -> str:
        """Changes if anything in the database, the session or the directory of files does."""
        files = sorted(
            (str(path), path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in self.files.rglob("*")
        )
        return digest(files, *self.content())

    def fingerprint_or_gone(self) -> str:
        """The fingerprint; a word of its own where the engine does not answer any more."""
        try:
            return self.fingerprint()
        except Exception as error:  # each driver has its own kinds
            return f"{_GONE}: {error}"

    def was_stopped(self, error: Exception) -> bool:
        """Whether the error says that a time limit ended the statement, which therefore ran."""
        return isinstance(error, QueryTimeoutError) or bool(_STOPPED.search(str(error)))

    def changed_by(self, texts: Sequence[str], attempt: Callable[[str], Any]) -> list[str]:
        """Those of these texts that change anything when they are attempted. A handful is
        fingerprinted together, and each of it alone only if the handful changed something."""
        found: list[str] = []
        before = self.fingerprint()
        for start in range(0, len(texts), 16):
            handful = texts[start : start + 16]
            for sql in handful:
                attempt(sql)
            if self.fingerprint_or_gone() == before:
                continue
            found += [sql for sql in handful if self._changes(sql, attempt)]
            self.renew()
            before = self.fingerprint()
        return found

    def _changes(self, sql: str, attempt: Callable[[str], Any]) -> bool:
        """Whether the text alone changes anything on a new engine.

        An engine that is gone has to go twice more: it may be the machine that was too slow.
        """
        for _ in range(3):
            self.renew()
            before = self.fingerprint()
            attempt(sql)
            after = self.fingerprint_or_gone()
            if after == before:
                return False
            if not after.startswith(_GONE):
                return True
        return True

    def harmful(self, texts: Sequence[str]) -> list[str]:
        """Those that change anything, or show what is planted, when nothing guards."""
        shown: list[str] = []

        def attempt(sql: str) -> None:
            if self._shows(sql):
                shown.append(sql)

        return list(dict.fromkeys([*self.changed_by(texts, attempt), *shown]))

    def _shows(self, sql: str) -> bool:
        shown = ""
        with suppress(Exception):  # a name or type that only the engine knows to be wrong
            shown = str(self.run(sql, 0.2))
        return any(word in shown for word in (*LEAKS, str(self.directory)))

    def content(self) -> list[Any]:
        """Everything in the database and the session, as values that can be compared."""
        raise NotImplementedError

    def renew(self) -> None:
        """All as it was at the beginning."""
        raise NotImplementedError

    def _run(self, sql: str, seconds: float) -> list[Any]:
        """The first rows; the statement alone stands in `_watched`."""
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError

    def _absorb(self) -> None:
        """After a stop: where it may arrive late, let it hit a statement that does nothing."""

    def close(self) -> None:
        """End the engine and remove its files."""
        shutil.rmtree(self.directory, ignore_errors=True)
