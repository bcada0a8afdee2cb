"""Rounding a matrix to a few bits so that what it computes changes least.

GPTQ (Frantar et al. 2022, arXiv 2210.17323): columns are rounded from left to right, and the error
of each is fed into the columns that are not rounded yet, in the proportions in which the inputs
go together. Those come as `moments`, the sum of x xᵀ over the inputs x that the matrix meets.
Pure functions on tensors. Not covered: gathering the moments (`moments`), the layout in the
file (`models.packed`), which matrix gets how many bits (`export`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlcoder_magic.models.packed import GROUP

if TYPE_CHECKING:
    import torch

DAMPING = 0.01  # of the mean of the moments' diagonal: keeps rare inputs from ruling
_CLIPS = tuple(step / 20 for step in range(13, 21))  # how much of a group's range is kept


@dataclass(frozen=True)
class Rounded:
    """`values` int8 [rows, columns] between -2^(bits-1) and 2^(bits-1) - 1; `scale` float16
    [rows, columns / GROUP], negative where a group's largest weight is positive."""

    values: torch.Tensor
    scale: torch.Tensor
    bits: int

    def weight(self) -> torch.Tensor:
        """What the matrix has become, float32 [rows, columns]."""
        rows, columns = self.values.shape
        groups = self.values.view(rows, columns // GROUP, GROUP).float()
        return (groups * self.scale.float().unsqueeze(-1)).view(rows, columns)


def quantize(
    weight: torch.Tensor, bits: int, moments: torch.Tensor | None = None, damping: float = DAMPING
) -> Rounded:
    """`weight` [rows, columns] in so many bits (2 to 8), columns a multiple of GROUP.

    `moments` [columns, columns] is symmetric and not negative; without it, or where it is all
    zero, every weight is rounded for itself.
    """
    import torch

    left = weight.detach().float().clone()
    rows, columns = left.shape
    spread = _spread(moments, columns, damping)
    values = torch.empty(rows, columns, dtype=torch.int8)
    scales = torch.empty(rows, columns // GROUP, dtype=torch.float16)
    for number, start in enumerate(range(0, columns, GROUP)):
        end = start + GROUP
        group, inner = left[:, start:end], spread[start:end, start:end]
        scale = _scale(group, bits, 1 / inner.diagonal().square())
        errors = torch.empty(rows, GROUP)
        for place in range(GROUP):
            rounded = _rounded(group[:, place], scale, bits)
            values[:, start + place] = rounded.to(torch.int8)
            errors[:, place] = (group[:, place] - rounded * scale) / inner[place, place]
            rest = slice(place + 1, None)
            group[:, rest] -= torch.outer(errors[:, place], inner[place, rest])
        left[:, end:] -= errors @ spread[start:end, end:]
        scales[:, number] = scale.to(torch.float16)
    return Rounded(values, scales, bits)


def _spread(moments: torch.Tensor | None, columns: int, damping: float) -> torch.Tensor:
    """The upper Cholesky factor of the moments' inverse: row j says where column j's error goes."""
    import torch

    if moments is None or not moments.any():
        return torch.eye(columns)
    moments = moments.double()
    ridge = damping * moments.diagonal().mean()
    moments = moments + ridge * torch.eye(columns, dtype=torch.float64)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moments))
    factor: torch.Tensor = torch.linalg.cholesky(inverse, upper=True).float()
    return factor


def _scale(group: torch.Tensor, bits: int, importance: torch.Tensor) -> torch.Tensor:
    """The scale of each row of a group, as float16 holds it: of some clips the one of least error.

    The lower end of the integers, which reaches one further, goes to the largest weight, whatever
    its sign.
    """
    import torch

    largest = group.gather(1, group.abs().argmax(1, keepdim=True)).squeeze(1)
    best = torch.full_like(largest, torch.inf)
    chosen = torch.zeros_like(largest)
    for clip in _CLIPS:
        scale = (largest * (-clip / 2 ** (bits - 1))).to(torch.float16).float()
        error = group - _rounded(group, scale.unsqueeze(1), bits) * scale.unsqueeze(1)
        total = error.square() @ importance
        better = total < best
        best, chosen = torch.where(better, total, best), torch.where(better, scale, chosen)
    return chosen


def _rounded(weight: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    """The nearest integers; a scale of zero gives zeros."""
    import torch

    half = 2 ** (bits - 1)
    steps = torch.where(scale == 0, torch.ones_like(scale), scale)
    return (weight / steps).round().clamp(-half, half - 1)
