"""The bundled model's storage: 3 to 8 bits a weight in groups of 64 columns, unpacked when loaded.

Every matrix `W` [rows, columns] of a checkpoint lies as `W.intN` and `W.scale` float16
[rows, columns / 64]; `W = integer * scale`. `W.int8` holds the integers as they are, int8 [rows,
columns]. With fewer bits, `W.intN` is uint8 [rows, columns * N / 8]: 2^(N-1) is added to each
integer, its bits are cut into fields of 4, 2 and 1 (from the highest down, no width twice), and
each field lies on its own, one after the other: the high fields are uneven, so a wheel's deflate
makes them smaller. Byte j of a field that takes n bytes of the row holds the field's bits of the
columns j, j + n, j + 2n …, from its low end up. Vectors lie as they are. Not covered: choosing the
integers (`training.quantize`), computing with them; the unpacked weights go on like those of any
other checkpoint (also into 4 or 8 bits).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GROUP = 64
_FILE = re.compile(r"weights-int[3-8]-.*")
_INTEGERS = re.compile(r"(.+)\.int([3-8])")


def is_packed(files: list[Path]) -> bool:
    """True for a checkpoint stored by this module."""
    return bool(files) and all(_FILE.fullmatch(path.name) for path in files)


def packed_name(name: str) -> tuple[str, int] | None:
    """(`W`, N) of a stored tensor `W.intN`; None for any other."""
    found = _INTEGERS.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def read_packed(files: list[Path], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The state dict in `dtype`."""
    from safetensors import safe_open

    state: dict[str, torch.Tensor] = {}
    for path in files:
        with safe_open(path, "pt") as file:
            names = sorted(file.keys())
            packed = {name: found for name in names if (found := packed_name(name))}
            for name, (matrix, bits) in packed.items():
                integers = unpack_bits(file.get_tensor(name), bits)
                state[matrix] = _scaled(integers, file.get_tensor(f"{matrix}.scale"), dtype)
            scales = {f"{matrix}.scale" for matrix, _ in packed.values()}
            for name in names:
                if name not in packed and name not in scales:
                    state[name] = file.get_tensor(name).to(dtype)
    return state


def pack_bits(integers: torch.Tensor, bits: int) -> torch.Tensor:
    """int8 [rows, columns] between -2^(bits-1) and 2^(bits-1) - 1 as they are stored."""
    import torch

    if bits == 8:
        return integers
    raised = (integers + 2 ** (bits - 1)).to(torch.uint8)
    fields = []
    for width, shift in _fields(bits):
        field = (raised >> shift) & (2**width - 1)
        parts = field.chunk(8 // width, dim=1)
        stored = parts[0].clone()
        for number, part in enumerate(parts[1:], start=1):
            stored |= part << (width * number)
        fields.append(stored)
    return torch.cat(fields, dim=1)


def unpack_bits(stored: torch.Tensor, bits: int) -> torch.Tensor:
    """What `pack_bits` was given."""
    import torch

    if bits == 8:
        return stored
    columns = stored.shape[1] * 8 // bits
    raised = torch.zeros(stored.shape[0], columns, dtype=torch.uint8)
    start = 0
    for width, shift in _fields(bits):
        count = columns * width // 8
        field = stored[:, start : start + count]
        start += count
        for number, part in enumerate(raised.chunk(8 // width, dim=1)):
            part |= ((field >> (width * number)) & (2**width - 1)) << shift
    return raised.view(torch.int8).sub_(2 ** (bits - 1))


def _fields(bits: int) -> list[tuple[int, int]]:
    """(width, shift) of the fields that so many bits are cut into: 7 is 4, 2 and 1."""
    found, left = [], bits
    for width in (4, 2, 1):
        if bits & width:
            left -= width
            found.append((width, left))
    return found


def _scaled(integers: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    rows, columns = integers.shape
    groups = integers.view(rows, columns // GROUP, GROUP).float().mul_(scale.float().unsqueeze(-1))
    return groups.view(rows, columns).to(dtype)
