"""`choose`: of several candidates for one question, the one whose result most of them give.

Pure: candidates come with what became of them, checked, dry-run and perhaps run. Not covered:
drawing them (`drafting`), how sure the answer is (`confidence`).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from sqlcoder_magic.errors import NL2SQLError
from sqlcoder_magic.types import CheckedSQL, Draft


@dataclass(frozen=True)
class Candidate:
    """A draft and what became of it.

    `sql` is in the database's dialect. `error` says why it may not run, or that the engine would
    not plan or run it; without one, `checked` is what may run. `repairs` counts the names that
    were mended; `result` stands for its rows, equal for equal ones (None: it was not run).
    """

    draft: Draft
    sql: str
    checked: CheckedSQL | None
    notes: tuple[str, ...] = ()
    error: NL2SQLError | None = None
    repairs: int = 0
    result: Hashable = None

    @property
    def runs(self) -> bool:
        """True if nothing is known to be wrong with it."""
        return self.checked is not None and self.error is None


@dataclass(frozen=True)
class Choice:
    """The candidate chosen, its draft with the `agreement`; `of` so many different ones."""

    best: Candidate
    of: int = 1


def choose(candidates: Sequence[Candidate]) -> Choice:
    """The best candidate of at least one; the first is the greedy draft, and wins a draw.

    Those that cannot run have no say. The others are folded by SQL, then by result (by SQL where
    they were not run). A result weighs the probability that the model gives to all its
    spellings; of the heaviest, the spelling with the fewest repairs and the best score is taken.
    """
    able: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.runs:
            able.setdefault(folded(candidate.sql), candidate)
    if not able:
        return Choice(candidates[0], len(candidates))
    groups: dict[Hashable, list[Candidate]] = {}
    for sql, candidate in able.items():
        groups.setdefault(sql if candidate.result is None else (candidate.result,), []).append(
            candidate
        )
    weights = {key: sum(map(_probability, group)) for key, group in groups.items()}
    heaviest = max(groups, key=lambda key: weights[key])
    best = min(groups[heaviest], key=lambda one: (one.repairs, -_probability(one)))
    if len(able) == 1:
        return Choice(best)
    agreement = weights[heaviest] / sum(weights.values())
    return Choice(replace(best, draft=replace(best.draft, agreement=agreement)), len(able))


def folded(sql: str) -> str:
    """The SQL without what never changes its meaning: spaces, a last semicolon."""
    return " ".join(sql.split()).rstrip("; ")


def _probability(candidate: Candidate) -> float:
    """What the model gives the draft; without scores all weigh the same."""
    return 1.0 if candidate.draft.logprob is None else math.exp(candidate.draft.logprob)
