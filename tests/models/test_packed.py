"""Integers of a few bits in bytes, and back; the layout as the docstring describes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sqlcoder_magic.models.packed import (
    GROUP,
    is_packed,
    pack_bits,
    packed_name,
    read_packed,
    unpack_bits,
)


def integers(bits: int, columns: int = 2 * GROUP) -> torch.Tensor:
    """Every value that fits, and more of them at random."""
    half = 2 ** (bits - 1)
    chance = torch.Generator().manual_seed(bits)
    values = torch.randint(-half, half, (7, columns), generator=chance, dtype=torch.int8)
    values[0, :2] = torch.tensor([-half, half - 1], dtype=torch.int8)
    return values


@pytest.mark.parametrize("bits", range(3, 9))
@pytest.mark.parametrize("columns", [GROUP, 9 * GROUP])
def test_packing_loses_nothing(bits: int, columns: int) -> None:
    values = integers(bits, columns)
    before = values.clone()
    stored = pack_bits(values, bits)
    assert stored.shape == (7, columns * bits // 8)
    assert stored.dtype == (torch.int8 if bits == 8 else torch.uint8)
    assert torch.equal(unpack_bits(stored, bits), before)
    assert torch.equal(values, before)


@pytest.mark.parametrize("bits", [3, 5, 6, 7])
def test_each_bit_lies_where_the_docstring_says(bits: int) -> None:
    columns = 2 * GROUP
    values, row, column = integers(bits), 2, 77
    stored = pack_bits(values, bits)[row].tolist()
    found, left, start = 0, bits, 0
    for width in (4, 2, 1):
        if bits & width:
            left -= width
            count = columns * width // 8
            byte = stored[start + column % count]
            found |= (byte >> (width * (column // count))) % 2**width << left
            start += count
    assert start == len(stored)
    assert found - 2 ** (bits - 1) == int(values[row, column])


def test_names_and_files() -> None:
    assert packed_name("model.layers.0.mlp.up_proj.weight.int5") == (
        "model.layers.0.mlp.up_proj.weight",
        5,
    )
    for other in ("model.norm.weight", "w.scale", "w.int2", "w.int16", "int5", "w.int5.scale"):
        assert packed_name(other) is None
    assert is_packed([Path("weights-int8-1-of-1.safetensors"), Path("weights-int5-2-of-2.x")])
    for other in ("model.safetensors", "weights-int9-1-of-1.safetensors", "weights-int16-1"):
        assert not is_packed([Path(other)])
    assert not is_packed([])


def test_a_file_of_mixed_bits_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {"norm": torch.ones(3, dtype=torch.bfloat16), "own.scale": torch.ones(2)}
    expected = {}
    for bits in (4, 5, 8):
        values = integers(bits)
        scale = torch.rand(7, 2).to(torch.float16) - 0.5  # some negative
        tensors |= {f"w{bits}.int{bits}": pack_bits(values, bits), f"w{bits}.scale": scale}
        expected[f"w{bits}"] = values.float() * scale.float().repeat_interleave(GROUP, 1)
    path = tmp_path / "weights-int5-1-of-1.safetensors"
    save_file(tensors, path)
    state = read_packed([path], torch.float32)
    assert set(state) == {*expected, "norm", "own.scale"}
    for name, weight in expected.items():
        assert torch.equal(state[name], weight)
    assert read_packed([path], torch.bfloat16)["w4"].dtype == torch.bfloat16
