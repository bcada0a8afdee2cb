"""What became of one question, and keeping it in a file so that a run can go on.

The file has one JSON object a line: first what was measured (`RunInfo`), then an outcome each.
A line that was cut off is dropped; a file of another run is refused. Not covered: scoring.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.types import Draft

# How far a draft came. "gold" is a fault of the suite: that question does not count.
STATUSES = ("ran", "refused", "no_sql", "unparsable", "rejected", "failed", "timeout", "gold")


@dataclass(frozen=True)
class RunInfo:
    """What was measured: two runs with the same values may share a file."""

    suite: str
    questions: int
    model: str
    check: bool
    engine: str = "sqlite"
    repaired: bool = False


@dataclass(frozen=True)
class Outcome:
    """One question: what was drafted, how far it came (`status`), and the two verdicts.

    `sql` is what was run, in the database's dialect; `message` says why it did not run;
    `seconds` is the generation alone, `first_token_s` the part of it before the first token;
    `logprob` is the sum over the `new_tokens`, `least_logprob` the least of one (None if not
    known); `repairs` counts what was mended; `agreement` is that of candidates, if any were drawn.
    """

    id: str
    db: str
    category: str
    hardness: str
    question: str
    draft: str
    sql: str
    status: str
    message: str
    defog: bool
    strict: bool
    seconds: float
    new_tokens: int
    first_token_s: float = 0.0
    prompt_tokens: int = 0
    logprob: float | None = None
    least_logprob: float | None = None
    repairs: int = 0
    agreement: float | None = None

    @property
    def as_draft(self) -> Draft:
        """The draft with what it cost."""
        return Draft(
            self.draft,
            "given",
            self.prompt_tokens,
            self.new_tokens,
            self.seconds,
            self.first_token_s,
            self.logprob,
            least_logprob=self.least_logprob,
            agreement=self.agreement,
        )

    @property
    def parsed(self) -> bool:
        """True if the draft held one statement that parses."""
        return self.status in ("ran", "rejected", "failed", "timeout")


class Record:
    """The file of a run: `outcomes` holds what it had, `add` appends."""

    def __init__(self, path: Path, info: RunInfo) -> None:
        self.path = path
        self.outcomes: tuple[Outcome, ...] = ()
        lines = _objects(path) if path.exists() else []
        if lines and _as(RunInfo, lines[0]) != info:
            raise OptionError(
                f"{path} holds another run ({_differences(lines[0], asdict(info))}).",
                fix="Name another file with --out, or delete this one.",
            )
        self.outcomes = tuple(_outcomes(lines[1:]))
        # Written anew, so that a line cut off in the last run does not stay in the middle.
        _write(path, [asdict(info), *map(asdict, self.outcomes)])

    def add(self, outcome: Outcome) -> None:
        """Append one outcome; it is on disk when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")


def read_record(path: Path) -> tuple[RunInfo, tuple[Outcome, ...]]:
    """What a file of a run holds. Raises OptionError if it is none."""
    lines = _objects(path)
    info = _as(RunInfo, lines[0]) if lines else None
    if info is None:
        raise OptionError(
            f"{path} is not the file of a run.", fix="Make one: run --suite … --out FILE."
        )
    return info, tuple(_outcomes(lines[1:]))


def read_predictions(path: Path) -> dict[str, Draft]:
    """Question id -> draft, from a file of an earlier run or of lines `{"id", "sql"}`.

    A draft of an earlier run keeps what it cost then, so that a step after it can be measured
    without the model.
    """
    found: dict[str, Draft] = {}
    for entry in _objects(path):
        text = entry.get("draft", entry.get("sql"))
        if "id" in entry and isinstance(text, str):
            run = _as(Outcome, entry)
            found[str(entry["id"])] = (
                Draft(text, "given", 0, 0, 0.0, 0.0) if run is None else run.as_draft
            )
    if not found:
        raise OptionError(
            f"{path} holds no predictions.",
            fix='It has one JSON object a line: {"id": "shop-where-1", "sql": "SELECT …"}.',
        )
    return found


def _objects(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} cannot be read: {error}.", fix="Check the path.") from None
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            if number == len(lines):
                break  # the run was stopped while this line was written
            raise OptionError(f"{path}, line {number}, is not JSON.", fix="Mend it.") from None
        if isinstance(entry, dict):
            found.append(entry)
    return found


def _outcomes(lines: Iterable[dict[str, Any]]) -> Iterable[Outcome]:
    found = (_as(Outcome, line) for line in lines)
    return (one for one in found if one is not None)


_Kept = TypeVar("_Kept", RunInfo, Outcome)


def _as(kind: type[_Kept], line: dict[str, Any]) -> _Kept | None:
    """The line as a value; None if something is missing or unknown. What an earlier version
    did not write has its default."""
    names = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    return kind(**line) if needed <= set(line) <= names else None


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error}.", fix="Check the path.") from None


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {found.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if found.get(name) != value
    )
