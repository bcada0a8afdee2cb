"""The bundled model's storage: int8 in groups of 64 columns, unpacked at load time.

Every matrix `W` of a checkpoint lies as `W.int8` [rows, columns] and `W.scale` float16
[rows, columns / 64]; `W = int8 * scale`. Vectors lie as they are. Not covered: computing in
int8; the unpacked weights go on like those of any other checkpoint (also into 4 or 8 bits).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

GROUP = 64


def is_packed(files: list[Path]) -> bool:
    """True for a checkpoint stored by this module."""
    return bool(files) and all(path.name.startswith("weights-int8-") for path in files)


def read_packed(files: list[Path], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The state dict in `dtype`."""
    from safetensors import safe_open

    state: dict[str, torch.Tensor] = {}
    for path in files:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            for name in sorted(names):
                if name.endswith(".int8"):
                    scale = file.get_tensor(name.removesuffix(".int8") + ".scale")
                    state[name.removesuffix(".int8")] = _unpack(file.get_tensor(name), scale, dtype)
                elif name.removesuffix(".scale") + ".int8" not in names:
                    state[name] = file.get_tensor(name).to(dtype)
    return state


def _unpack(values: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    rows, columns = values.shape
    groups = values.view(rows, columns // GROUP, GROUP).float().mul_(scale.float().unsqueeze(-1))
    return groups.view(rows, columns).to(dtype)
