"""The loop: AdamW, warm-up and cosine, two phases, an average of the weights, resume.

The schedule runs over a number of steps (the same weights for the same seed, on one machine)
or over seconds. A run stops at a share of its schedule, writes its whole state, and goes on
from there when called again. Not covered: making batches (`feed`), storing weights (`export`).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.training.feed import Feed, Feeder
from sqlcoder_magic.training.network import Average, load_state, loss_of, open_network, state_of
from sqlcoder_magic.training.pack import Batch

if TYPE_CHECKING:
    import torch

Report = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """What is run. One of `steps` and `seconds` is the length of the schedule; 0 means none."""

    steps: int = 0
    seconds: float = 0.0
    peak: float = 3e-4  # learning rate
    floor: float = 0.02  # of the peak, at the end
    warmup: int = 60  # steps
    second_phase: float = 0.4  # share of the schedule at which it begins
    decay: float = 0.998  # of the average
    weight_decay: float = 0.05
    clip: float = 1.0

    def rate(self, step: int, share: float) -> float:
        """The learning rate of a step at a share of the schedule."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        return (
            self.peak
            * min(1.0, (step + 1) / self.warmup)
            * (self.floor + (1 - self.floor) * cosine)
        )


@dataclass
class Progress:
    """Where a run is: steps and seconds done, questions seen, the next batch."""

    step: int = 0
    seconds: float = 0.0
    seen: int = 0
    phase: int = 1
    chunk: int = 0
    place: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)

    def share(self, recipe: Recipe) -> float:
        """The share of the schedule that is done."""
        if recipe.steps:
            return self.step / recipe.steps
        return self.seconds / recipe.seconds


def train(
    recipe: Recipe,
    feed: Feed,
    start: Path,
    state: Path,
    *,
    until: float = 1.0,
    device: str = "cpu",
    workers: int = 0,
    compiled: bool = False,
    report: Report = print,
) -> Progress:
    """Train from the weights in `start`, or go on from the file `state`; write that file."""
    if bool(recipe.steps) == bool(recipe.seconds):
        raise OptionError("A run has either a number of steps or of seconds.")
    feeder = Feeder(feed, workers)
    try:
        run = _Run(recipe, feeder, start, state, device)
        if compiled:
            for layer in run.network.model.layers:
                layer.compile(dynamic=True)
        run.go_on(until, report)
        run.save(state)
    finally:
        feeder.close()
    return run.progress


class _Run:
    """Network, optimizer, average and progress of a run."""

    def __init__(
        self, recipe: Recipe, feeder: Feeder, start: Path, state: Path, device: str
    ) -> None:
        import torch

        self.recipe, self.feeder, self.device = recipe, feeder, device
        saved: dict[str, Any] = {}
        if state.exists():
            saved = torch.load(state, map_location=device, weights_only=True)
        self.progress = Progress(**saved["progress"]) if saved else Progress()
        # The first chunks are made while the network loads.
        self.batches = feeder.chunk(self.progress.phase, self.progress.chunk)
        self.network = open_network(start, saved.get("network")).to(device).train()
        self.optimizer = _optimizer(self.network, recipe, device)
        if saved:
            load_state(self.network, saved["network"])
            self.optimizer.load_state_dict(saved["optimizer"])
        self.average = Average(self.network, recipe.decay, saved.get("average"))
        self._losses: list[torch.Tensor] = []

    def go_on(self, until: float, report: Report) -> None:
        """Train until that share of the schedule."""
        began, before = time.monotonic(), self.progress.seconds
        first = self.progress.step
        while self.progress.share(self.recipe) < until:
            self._step(self._batch().to(self.device))
            self.progress.seconds = before + time.monotonic() - began
            if self.progress.step % 20 == 0 or self.progress.step == first + 1:
                self._log(report)
        self._log(report)

    def _batch(self) -> Batch:
        """The next batch; a new chunk is of the phase that the schedule is in."""
        progress = self.progress
        if progress.place >= len(self.batches):
            progress.chunk, progress.place = progress.chunk + 1, 0
            progress.phase = 1 + (progress.share(self.recipe) >= self.recipe.second_phase)
            self.batches = self.feeder.chunk(progress.phase, progress.chunk)
        progress.place += 1
        batch = self.batches[progress.place - 1]
        progress.seen += int(batch.segments.max(axis=1).sum())
        return batch

    def _step(self, batch: Batch) -> None:
        import torch

        rate = self.recipe.rate(self.progress.step, self.progress.share(self.recipe))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(self.network, batch, self.device)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.network)
        self.progress.step += 1
        self._losses.append(loss.detach())

    def _log(self, report: Report) -> None:
        if not self._losses:
            return
        progress, losses = self.progress, [float(loss) for loss in self._losses]
        self._losses = []
        first = progress.step - len(losses) + 1
        progress.curve += [{"step": first + n, "loss": loss} for n, loss in enumerate(losses)]
        mean = sum(losses) / len(losses)
        rate = self.optimizer.param_groups[0]["lr"]
        progress.curve[-1] |= {"seconds": progress.seconds, "seen": progress.seen, "rate": rate}
        report(
            f"step {progress.step} {progress.seconds:.0f} s loss {mean:.4f} rate {rate:.1e} "
            f"seen {progress.seen:,} phase {progress.phase}"
        )

    def save(self, path: Path) -> None:
        """The whole state in one file, and the curve beside it as JSON lines."""
        import torch

        content = {
            "network": state_of(self.network),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state,
            "progress": asdict(self.progress),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(path)
        lines = (json.dumps(point) + "\n" for point in self.progress.curve)
        path.with_suffix(".jsonl").write_text("".join(lines), "utf-8")


def _optimizer(network: Any, recipe: Recipe, device: str) -> torch.optim.Optimizer:
    """AdamW; weights decay, norms do not."""
    import torch

    parameters = list(network.parameters())
    return torch.optim.AdamW(
        [
            {
                "params": [p for p in parameters if p.ndim > 1],
                "weight_decay": recipe.weight_decay,
            },
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=recipe.peak,
        betas=(0.9, 0.97),
        fused=device == "cuda",
    )
