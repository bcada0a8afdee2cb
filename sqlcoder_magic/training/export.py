"""Weights -> the files that the package ships: int8 in groups, three files, no optimizer.

The layout is that of `models.packed`, which reads it; tokenizer and config are copied from
where training started. Not covered: deciding whether the new weights are better (`evaluate`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlcoder_magic.models.packed import GROUP
from sqlcoder_magic.training.network import State

if TYPE_CHECKING:
    import torch

FILE_BYTES = 47_600_000
_COPIED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")


def packed(name: str, weight: torch.Tensor) -> State:
    """The tensors that are stored for one: `.int8` and `.scale` for a matrix, else bf16."""
    import torch

    if weight.ndim != 2 or weight.shape[1] % GROUP:
        return {name: weight.to(torch.bfloat16).contiguous().cpu()}
    rows, columns = weight.shape
    groups = weight.detach().float().cpu().view(rows, columns // GROUP, GROUP)
    scale = (groups.abs().amax(-1) / 127).to(torch.float16)
    # Rounded to the scale as it is stored; a group of zeros stays zero.
    steps = scale.float().clamp_min(torch.finfo(torch.float16).tiny).unsqueeze(-1)
    values = (groups / steps).round().clamp(-127, 127).to(torch.int8)
    return {f"{name}.int8": values.view(rows, columns), f"{name}.scale": scale}


def export(state: State, like: Path, out: Path) -> list[Path]:
    """Write the weights and what belongs to them into `out`; the weight files."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        if (like / name).exists() and like.resolve() != out.resolve():
            shutil.copy2(like / name, out / name)
    shares = list(_shares(state))
    paths = []
    for number, share in enumerate(shares, start=1):
        paths.append(out / f"weights-int8-{number}-of-{len(shares)}.safetensors")
        save_file(share, paths[-1], metadata={"format": "pt"})
    return paths


def _shares(state: State) -> Iterator[State]:
    """The stored tensors in as few files as fit."""
    share: State = {}
    size = 0
    for name in sorted(state):
        tensors = packed(name, state[name])
        more = sum(tensor.nbytes for tensor in tensors.values())
        if share and size + more > FILE_BYTES:
            yield share
            share, size = {}, 0
        share |= tensors
        size += more
    yield share
