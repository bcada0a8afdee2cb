"""What rounding needs to know of a network, and what it did: inputs of the matrices, and drift.

Both run the network over batches of lessons. Not covered: rounding (`quantize`), and how many
questions come out right (`evaluate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.training.network import State, answer_logits
from sqlcoder_magic.training.pack import NO_LOSS, PADDING, Batch

if TYPE_CHECKING:
    import torch


def input_moments(network: Any, batches: Sequence[Batch], *, half: bool = False) -> State:
    """The sum of x xᵀ over the inputs x of each layer's matrix, by the matrix's name.

    Every token of the lessons counts, padding does not. `half`: multiplied in bf16.
    """
    import torch

    sums: State = {}
    present: list[torch.Tensor] = []  # of the batch at hand

    def watching(name: str) -> Callable[[Any, tuple[torch.Tensor, ...]], None]:
        def watch(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            seen = inputs[0][present[0]].float()
            with torch.autocast("cpu", enabled=False):  # sums in bf16 would not be positive
                sums[name] = sums.get(name, torch.zeros(())) + seen.T @ seen

        return watch

    hooks = [
        module.register_forward_pre_hook(watching(f"model.{name}.weight"))
        for name, module in network.model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    try:
        for batch in batches:
            tensors = batch.to("cpu")
            present[:] = [tensors.segments != PADDING]
            with torch.no_grad():
                answer_logits(network, tensors, "cpu", half=half)
    finally:
        for hook in hooks:
            hook.remove()
    return sums


@dataclass(frozen=True)
class Drift:
    """How far one network's next tokens are from another's, over `tokens` of answers.

    `divergence` is the mean Kullback-Leibler divergence in nats, `changed` the share of tokens
    whose likeliest successor is another, `loss` and `loss_before` the mean cross-entropies.
    """

    tokens: int
    divergence: float
    changed: float
    loss: float
    loss_before: float


def drift(before: Any, after: Any, batches: Sequence[Batch], *, half: bool = False) -> Drift:
    """What became of the network `before`, judged on the answers of these lessons."""
    import torch
    from torch.nn.functional import cross_entropy, kl_div

    tokens, sums = 0, torch.zeros(4, dtype=torch.float64)
    for batch in batches:
        tensors = batch.to("cpu")
        with torch.no_grad():
            (old, targets), (new, _) = (
                answer_logits(network, tensors, "cpu", half=half) for network in (before, after)
            )
            wanted = targets[targets != NO_LOSS]
            tokens += len(wanted)
            sums += torch.stack(
                [
                    kl_div(
                        new.log_softmax(-1), old.log_softmax(-1), reduction="sum", log_target=True
                    ),
                    (new.argmax(-1) != old.argmax(-1)).sum(),
                    cross_entropy(new, wanted, reduction="sum"),
                    cross_entropy(old, wanted, reduction="sum"),
                ]
            ).double()
    return Drift(tokens, *(sums / tokens).tolist())
