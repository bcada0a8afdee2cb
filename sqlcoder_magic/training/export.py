"""Weights -> the files that the package ships: integers in groups, few files, no optimizer.

The layout is that of `models.packed`, which reads it; tokenizer and config are copied from
where training started. Not covered: deciding whether the new weights are better (`evaluate`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.models.packed import GROUP, pack_bits
from sqlcoder_magic.training.network import State
from sqlcoder_magic.training.quantize import quantize

if TYPE_CHECKING:
    import torch

FILE_BYTES = 47_600_000
_COPIED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Bits:
    """How many bits the matrices get: `usual`, but `special` where a part of the name is found.

    Of several parts that are found the last one counts.
    """

    usual: int = 8
    special: tuple[tuple[str, int], ...] = ()

    def of(self, name: str) -> int:
        """The bits of the matrix called so."""
        return next((bits for part, bits in reversed(self.special) if part in name), self.usual)


def read_bits(words: Sequence[str]) -> Bits:
    """`5 down_proj=6 embed_tokens=8` as Bits. Raises OptionError."""
    usual, special = 8, []
    for word in words:
        part, _, number = word.rpartition("=")
        if number not in ("3", "4", "5", "6", "7", "8"):
            raise OptionError(
                f"{word!r} is no number of bits.", fix="Give 3 to 8, or NAME=BITS for some of them."
            )
        if part:
            special.append((part, int(number)))
        else:
            usual = int(number)
    return Bits(usual, tuple(special))


def packed(
    name: str, weight: torch.Tensor, bits: int = 8, moments: torch.Tensor | None = None
) -> State:
    """The tensors that are stored for one: `.intN` and `.scale` for a matrix, else bf16.

    `moments` are those of the matrix's inputs (`quantize`); 8 bits are rounded without them, so
    that what was stored in 8 bits comes back as it was.
    """
    import torch

    if weight.ndim != 2 or weight.shape[1] % GROUP:
        return {name: weight.to(torch.bfloat16).contiguous().cpu()}
    if bits < 8:
        rounded = quantize(weight.cpu(), bits, moments)
        return {
            f"{name}.int{bits}": pack_bits(rounded.values, bits),
            f"{name}.scale": rounded.scale,
        }
    rows, columns = weight.shape
    groups = weight.detach().float().cpu().view(rows, columns // GROUP, GROUP)
    scale = (groups.abs().amax(-1) / 127).to(torch.float16)
    # Rounded to the scale as it is stored; a group of zeros stays zero.
    steps = scale.float().clamp_min(torch.finfo(torch.float16).tiny).unsqueeze(-1)
    values = (groups / steps).round().clamp(-127, 127).to(torch.int8)
    return {f"{name}.int8": values.view(rows, columns), f"{name}.scale": scale}


def export(
    state: State,
    like: Path,
    out: Path,
    bits: Bits | None = None,
    moments: Mapping[str, torch.Tensor] | None = None,
) -> list[Path]:
    """Write the weights and what belongs to them into `out`; the weight files.

    `bits`: 8 for all where nothing is said. `moments`: of the inputs of each matrix, by its name.
    """
    from safetensors.torch import save_file

    bits = bits or Bits()
    out.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        if (like / name).exists() and like.resolve() != out.resolve():
            shutil.copy2(like / name, out / name)
    shares = list(_shares(state, bits, moments or {}))
    paths = []
    for number, share in enumerate(shares, start=1):
        paths.append(out / f"weights-int{bits.usual}-{number}-of-{len(shares)}.safetensors")
        save_file(share, paths[-1], metadata={"format": "pt"})
        paths[-1].chmod(0o644)  # what is installed is read by others than who made it
    return paths


def _shares(state: State, bits: Bits, moments: Mapping[str, torch.Tensor]) -> Iterator[State]:
    """The stored tensors in as few files as fit."""
    share: State = {}
    size = 0
    for name in sorted(state):
        tensors = packed(name, state[name], bits.of(name), moments.get(name))
        more = sum(tensor.nbytes for tensor in tensors.values())
        if share and size + more > FILE_BYTES:
            yield share
            share, size = {}, 0
        share |= tensors
        size += more
    yield share
