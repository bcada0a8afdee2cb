"""The record of a run: one JSON line a step, and its picture.

A point has `step`, `seen` (questions), `tokens` (without padding), `loss`, `rate`, `seconds` and
`phase`, and at some steps `held_out`, the loss on databases that no lesson holds. Not covered:
scores (`evals`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlcoder_magic.errors import OptionError

Point = dict[str, float]
_NEEDED = ("step", "seen", "loss")
_LEFT, _TOP, _WIDTH, _HEIGHT = 52, 16, 560, 300


def path_beside(state: Path) -> Path:
    """Where the record of a state file lies."""
    return state.with_suffix(".jsonl")


def write(path: Path, points: Iterable[Point]) -> None:
    """Write the points, in place of those that are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(point) + "\n" for point in points), "utf-8")


def read(path: Path) -> list[Point]:
    """What `write` wrote. Raises OptionError for another layout, or for no point at all."""
    try:
        points = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        ready = bool(points) and all(point[name] >= 0 for point in points for name in _NEEDED)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OptionError(
            f"{path} is not a record: {error!r}.",
            fix="Name the .jsonl file that train wrote beside its state.",
        ) from None
    if not ready:
        raise OptionError(f"{path} holds no steps.", fix="Let train run for a step.")
    return points


def smoothed(points: Sequence[Point], most: int = 60) -> list[tuple[float, float]]:
    """(questions seen, mean loss) of at most `most` stretches of equally many steps."""
    size = math.ceil(len(points) / most)
    stretches = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (part[-1]["seen"], math.fsum(point["loss"] for point in part) / len(part))
        for part in stretches
    ]


def plot(points: Sequence[Point]) -> str:
    """The losses over the questions seen as an SVG; the loss axis is logarithmic."""
    steps = [(point["seen"], point["loss"]) for point in points]
    held = [(point["seen"], point["held_out"]) for point in points if "held_out" in point]
    axes = _Axes([loss for _, loss in steps + held], max(seen for seen, _ in steps))
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="#aa3377"/>' for x, y in axes.all(held))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360" width="640" height="360" '
        'font-family="sans-serif" font-size="11"><rect width="640" height="360" fill="white"/>'
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" '
        f'stroke="#888"/>{axes.ticks()}'
        f"{_line(axes.all(steps), '#bbccdd')}{_line(axes.all(smoothed(points)), '#4477aa')}"
        f"{_line(axes.all(held), '#aa3377')}{dots}"
        f'<text x="{_LEFT + _WIDTH / 2}" y="352" text-anchor="middle">questions seen</text>'
        f'<text x="{_LEFT + _WIDTH - 8}" y="32" text-anchor="end" fill="#4477aa">loss</text>'
        + (
            f'<text x="{_LEFT + _WIDTH - 8}" y="47" text-anchor="end" fill="#aa3377">'
            "loss on held-out databases</text>"
            if held
            else ""
        )
        + "</svg>\n"
    )


class _Axes:
    """Losses and questions as places in the picture."""

    def __init__(self, losses: Sequence[float], seen: float) -> None:
        positive = [loss for loss in losses if loss > 0] or [1.0]
        self.low = 10 ** math.floor(math.log10(min(positive)))
        self.high = max(10 ** math.ceil(math.log10(max(positive))), 10 * self.low)
        self.seen = max(seen, 1.0)

    def y(self, loss: float) -> float:
        share = math.log(max(loss, self.low) / self.low) / math.log(self.high / self.low)
        return round(_TOP + _HEIGHT * (1 - share), 1)

    def x(self, seen: float) -> float:
        return round(_LEFT + _WIDTH * seen / self.seen, 1)

    def all(self, points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(self.x(seen), self.y(loss)) for seen, loss in points]

    def ticks(self) -> str:
        decades = round(math.log10(self.high / self.low))
        marks = [self.low * 10**n * m for n in range(decades) for m in (1, 2, 5)] + [self.high]
        text = "".join(
            f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{self.y(mark)}" y2="{self.y(mark)}" '
            f'stroke="#eee"/><text x="{_LEFT - 5}" y="{self.y(mark) + 4}" '
            f'text-anchor="end">{mark:g}</text>'
            for mark in marks
        )
        return text + "".join(
            f'<text x="{self.x(self.seen * n / 4)}" y="332" text-anchor="middle">'
            f"{self.seen * n / 4:,.0f}</text>"
            for n in range(5)
        )


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    places = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
