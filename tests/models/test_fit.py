"""What fits, and which precision, from configs alone: no weights are made but by one test."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqlcoder_magic.errors import MemoryShortError, ModelLoadError, OptionError
from sqlcoder_magic.models import fit, open_model
from sqlcoder_magic.models.fit import Machine, Size, choose_precision, count_parameters, size_of

Make = Callable[[str], Path]
GIB = 2**30
# Shapes like those of CodeLlama-7B, Llama-3-8B, StarCoder and CodeLlama-70B (not read from their
# config.json; the cards' parameter counts, beside them, are what they are held to).
LLAMA = {"model_type": "llama", "max_position_embeddings": 16384}
SHAPES: dict[str, tuple[dict[str, Any], float]] = {
    "7b": (
        {
            **LLAMA,
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 32016,
        },
        6.7,
    ),
    "8b": (
        {
            **LLAMA,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128256,
        },
        8.0,
    ),
    "15b": (
        {
            "model_type": "gpt_bigcode",
            "n_embd": 6144,
            "n_layer": 40,
            "n_head": 48,
            "n_inner": 24576,
            "n_positions": 8192,
            "vocab_size": 49152,
            "multi_query": True,
        },
        15.5,
    ),
    "70b": (
        {
            **LLAMA,
            "hidden_size": 8192,
            "intermediate_size": 28672,
            "num_hidden_layers": 80,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "vocab_size": 32016,
        },
        69.0,
    ),
}
CPU = Machine("cpu", "2 CPU threads", 8 * GIB, bf16_in_hardware=False)


def gpu(free_gib: float) -> Machine:
    return Machine("cuda", "a GPU", int(free_gib * GIB), bf16_in_hardware=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_config_says_how_large_the_model_is(shape: str) -> None:
    config, billions = SHAPES[shape]
    size = size_of(config)
    assert (size.layers + size.others) / 1e9 == pytest.approx(billions, rel=0.03)
    assert size.weight_bytes("bf16") == 2 * (size.layers + size.others)
    # Only the layers' matrices shrink: 13.5 GB become 3.9 (measured on an H100 for the 7B).
    assert size.weight_bytes("4bit") < 0.4 * size.weight_bytes("bf16")
    if shape == "7b":
        assert size.weight_bytes("bf16") / 1e9 == pytest.approx(13.5, rel=0.01)
        assert size.weight_bytes("4bit") / 1e9 == pytest.approx(3.9, rel=0.02)


def test_the_cache_grows_with_context_and_beams() -> None:
    config, _ = SHAPES["7b"]
    one = size_of(config, [], tokens=1000)
    # Two of 4,096 numbers, for each of 32 layers and 1,000 tokens.
    assert one == Size(0, 0, 2 * 4096 * 32 * 1000)
    assert size_of(config, [], tokens=4000).cached == 4 * one.cached
    assert size_of(config, [], tokens=1000, beams=4).cached == 5 * one.cached  # and the prompt's
    assert one.bytes_needed("4bit") == 2 * one.cached and one.bytes_needed("fp32") == 4 * one.cached
    shared = size_of(SHAPES["15b"][0], [], tokens=1000)  # one head of 128 serves all
    assert shared.cached == 2 * 128 * 40 * 1000


def test_the_refusal_says_what_would_fit() -> None:
    seven, seventy = size_of(SHAPES["7b"][0]), size_of(SHAPES["70b"][0])
    assert choose_precision("auto", seven, gpu(24), bundled=False)[0] == "bf16"
    precision, why = choose_precision("auto", seven, gpu(8), bundled=False)
    assert precision == "4bit" and why.startswith("bf16 needs 14.")
    with pytest.raises(MemoryShortError, match="bf16 needs about 14") as caught:
        choose_precision("bf16", seven, gpu(10), bundled=False)
    assert "8bit would fit" in caught.value.fix
    with pytest.raises(MemoryShortError, match=r"8.0 GB are free") as caught:
        choose_precision("auto", seventy, gpu(8), bundled=False)
    assert "--model defog/llama-3-sqlcoder-8b --quantization 4bit" in caught.value.fix
    with pytest.raises(MemoryShortError) as caught:
        choose_precision("4bit", seventy, gpu(30), bundled=False)
    assert "--model defog/sqlcoder-34b-alpha" in caught.value.fix
    apple = Machine("mps", "Apple GPU", 16 * GIB, bf16_in_hardware=False)
    with pytest.raises(MemoryShortError) as caught:
        choose_precision("auto", seventy, apple, bundled=False)
    assert "--model defog/sqlcoder-7b" in caught.value.fix and "4bit" not in caught.value.fix
    with pytest.raises(MemoryShortError) as caught:
        choose_precision("auto", seven, gpu(0.5), bundled=False)
    assert "sqlcoder-tiny" in caught.value.fix and "defog" not in caught.value.fix


def test_what_cannot_fit_is_not_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    (tmp_path / "config.json").write_text(json.dumps(SHAPES["70b"][0]))
    asked: list[str] = []

    def config_alone(repo: str, name: str) -> str:
        asked.append(f"{repo}/{name}")
        return str(tmp_path / name)

    def weights(*arguments: object, **options: object) -> str:
        raise AssertionError("it was downloaded")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", config_alone)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", weights)
    monkeypatch.setattr(fit, "this_machine", lambda: gpu(12))
    with pytest.raises(MemoryShortError, match="4bit needs about") as caught:
        open_model("defog/sqlcoder-70b-alpha")
    assert "12.0 GB are free" in str(caught.value) and "--model" in caught.value.fix
    assert asked == ["defog/sqlcoder-70b-alpha/config.json"]


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "novel"},
        {"model_type": "llama", "hidden_size": "many"},
        {"model_type": "t5"},
        {"model_type": "llama", "num_attention_heads": None},
    ],
)
def test_a_config_of_nothing_is_a_sentence(config: dict[str, Any]) -> None:
    with pytest.raises(ModelLoadError, match="cannot be loaded") as caught:
        size_of(config)
    assert caught.value.fix


def test_auto_says_why() -> None:
    size = size_of(SHAPES["7b"][0], [])
    assert choose_precision("auto", size, CPU, bundled=False)[0] == "fp32"
    newer = Machine("cpu", "2 CPU threads", 8 * GIB, bf16_in_hardware=True)
    assert choose_precision("auto", size, newer, bundled=False)[0] == "bf16"
    precision, why = choose_precision("auto", size, gpu(8), bundled=False)
    assert precision == "bf16" and "free" in why


def test_four_bits_on_apples_gpu_are_refused() -> None:
    apple = Machine("mps", "Apple GPU", 8 * GIB, bf16_in_hardware=False)
    with pytest.raises(OptionError, match="Apple"):
        choose_precision("4bit", Size(1, 1), apple, bundled=False)
    assert choose_precision("auto", Size(1, 1), apple, bundled=False)[0] == "fp16"


@pytest.mark.parametrize("architecture", ["gpt_bigcode", "llama", "mistral"])
def test_config_and_headers_agree_with_the_weights(checkpoint: Make, architecture: str) -> None:
    from transformers import AutoModelForCausalLM

    directory = checkpoint(architecture)
    files = [directory / "model.safetensors"]
    config = json.loads((directory / "config.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(directory)
    layers, others = count_parameters(files)
    assert layers + others == sum(p.numel() for p in model.parameters())
    assert layers < others  # the embeddings of 49,152 tokens outweigh two small layers
    assert size_of(config) == size_of(config, files)


def test_bitsandbytes_that_is_missing_is_a_sentence(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.utils.import_utils as packages
    from transformers.quantizers import quantizer_bnb_4bit

    assert packages.is_bitsandbytes_available()
    monkeypatch.setattr(quantizer_bnb_4bit, "is_bitsandbytes_available", lambda: False, False)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelLoadError, match="4bit") as caught:
        open_model(str(checkpoint("llama")), quantization="4bit")
    assert "%pip install bitsandbytes" in caught.value.fix
