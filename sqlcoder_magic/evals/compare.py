"""Two runs over the same questions: is the second better, by how much, and where is it worse?

Questions are paired, which sees smaller differences than two intervals side by side do:
McNemar's exact test (McNemar, 1947; two-sided binomial on the questions that changed), and a
bootstrap interval of the difference over questions. Not covered: runs of different suites.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from random import Random

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.evals.outcome import Outcome

RESAMPLES = 1000
RULES: dict[str, Callable[[Outcome], bool]] = {
    "defog": lambda outcome: outcome.defog,
    "strict": lambda outcome: outcome.strict,
}


@dataclass(frozen=True)
class Comparison:
    """Two runs by one rule, over the `n` questions that count in both.

    `won` are the second's outcomes that only it has right, `lost` those that only the first has;
    shares and `interval` (95 %, of the difference) are between -1 and 1; `p` is McNemar's.
    """

    n: int
    first: float
    second: float
    won: tuple[Outcome, ...]
    lost: tuple[Outcome, ...]
    interval: tuple[float, float]
    p: float

    @property
    def difference(self) -> float:
        """What the second run has more, as a share of the questions."""
        return self.second - self.first


def compare(
    first: Sequence[Outcome], second: Sequence[Outcome], *, rule: str = "defog"
) -> Comparison:
    """Pair two runs by question. Raises OptionError if they have none in common."""
    right = RULES[rule]
    others = {outcome.id: outcome for outcome in second if outcome.status != "gold"}
    pairs = [(one, others[one.id]) for one in first if one.id in others and one.status != "gold"]
    if not pairs:
        raise OptionError(
            "The two runs have no question in common.", fix="Compare runs of one suite."
        )
    changes = [int(right(other)) - int(right(one)) for one, other in pairs]
    won = tuple(other for (_, other), change in zip(pairs, changes, strict=True) if change > 0)
    lost = tuple(other for (_, other), change in zip(pairs, changes, strict=True) if change < 0)
    n = len(pairs)
    return Comparison(
        n=n,
        first=sum(right(one) for one, _ in pairs) / n,
        second=sum(right(other) for _, other in pairs) / n,
        won=won,
        lost=lost,
        interval=_interval(changes),
        p=mcnemar(len(won), len(lost)),
    )


def mcnemar(won: int, lost: int) -> float:
    """The chance of so uneven a split or a worse one if both runs were equally good."""
    n, fewer = won + lost, min(won, lost)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / (1 << n)
    return min(1.0, 2 * tail)


def _interval(changes: Sequence[int], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean change, seeded."""
    n = len(changes)
    rng = Random(seed)
    means = sorted(sum(rng.choices(changes, k=n)) / n for _ in range(RESAMPLES))
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def comparison_text(names: tuple[str, str], by_rule: dict[str, Comparison]) -> str:
    """A Markdown page: a line a rule, then the questions won and lost by the first rule named."""
    lines = [
        f"# {names[0]} → {names[1]}",
        "",
        "| rule | n | first | second | difference (95 %) | won | lost | p (McNemar, exact) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for rule, found in by_rule.items():
        lines.append(
            f"| {rule} | {found.n} | {100 * found.first:.1f} % | {100 * found.second:.1f} % "
            f"| {points(found)} | {len(found.won)} | {len(found.lost)} | {found.p:.2g} |"
        )
    rule, shown = next(iter(by_rule.items()))
    for title, outcomes in (("Won", shown.won), ("Lost", shown.lost)):
        lines += ["", f"## {title} ({rule}): {len(outcomes)}", ""]
        lines += [f"- {one.id} ({one.status}): {_line(one.question)}" for one in outcomes]
    return "\n".join(lines) + "\n"


def points(found: Comparison) -> str:
    """The difference in percentage points with its interval: `+7.2 (4.1 to 10.2)`."""
    low, high = found.interval
    return f"{100 * found.difference:+.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _line(text: str) -> str:
    return " ".join(text.split())
