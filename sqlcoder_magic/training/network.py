"""The network to train: from the stored weights or a checkpoint; its loss; its moving average.

Runs on CPU in fp32 and on CUDA under bf16 autocast, by the same code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.errors import ModelNotFoundError
from sqlcoder_magic.models.packed import is_packed, read_packed
from sqlcoder_magic.training.pack import NO_LOSS, Batch, attention

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]
TIED = "lm_head.weight"  # the same tensor as the embedding


def open_network(directory: Path, state: State | None = None) -> Any:
    """The network of a directory in fp32, with other weights if `state` is given."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    files = sorted(directory.glob("*.safetensors"))
    if not (directory / "config.json").is_file() or not (files or state):
        raise ModelNotFoundError(f"There is no model in {directory}.", fix="Check the path.")
    if state is None and not is_packed(files):
        return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    config = AutoConfig.from_pretrained(directory)
    network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    load_state(network, state or read_packed(files, torch.float32))
    return network


def load_state(network: Any, state: State) -> None:
    """Put these weights in; all there are, the tied head aside."""
    found = network.load_state_dict(state, strict=False)
    wrong = [name for name in (*found.missing_keys, *found.unexpected_keys) if name != TIED]
    if wrong:
        raise ModelNotFoundError(
            f"These weights are of another model: {wrong[0]} does not fit.",
            fix="Start from the directory that they were trained from.",
        )
    network.tie_weights()


def state_of(network: Any) -> State:
    """The weights, without the tied head."""
    return {name: w for name, w in network.state_dict().items() if name != TIED}


def loss_of(network: Any, batch: Batch, device: str) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens; logits are made for those alone."""
    import torch
    from torch.nn.functional import cross_entropy

    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        hidden = network.model(
            input_ids=batch.ids,
            position_ids=batch.positions,
            attention_mask=attention(batch.segments),
            use_cache=False,
        ).last_hidden_state
        targets = batch.labels[:, 1:]
        answers = targets != NO_LOSS
        logits = network.lm_head(hidden[:, :-1][answers])
    loss: torch.Tensor = cross_entropy(logits.float(), targets[answers])
    return loss


class Average:
    """An exponential moving average of the weights."""

    def __init__(self, network: Any, decay: float, state: State | None = None) -> None:
        self.decay = decay
        self.state = {
            name: (state or {}).get(name, weight).detach().clone().to(weight.device)
            for name, weight in state_of(network).items()
        }

    def update(self, network: Any) -> None:
        """Move towards the network's present weights."""
        import torch

        with torch.no_grad():
            weights = [weight.detach() for weight in state_of(network).values()]
            torch._foreach_lerp_(list(self.state.values()), weights, 1 - self.decay)
