"""Tiny random checkpoints of each architecture that SQLCoders come in, made here in a second."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sqlcoder_magic.models import unload_model
from sqlcoder_magic.models.catalog import WEIGHTS

ARCHITECTURES = ("gpt_bigcode", "llama", "mistral")
VOCABULARY = 49_152  # of the bundled tokenizer, which these borrow


@pytest.fixture(autouse=True)
def _one_slot() -> Iterator[None]:
    """No test sees another's model."""
    unload_model()
    yield
    unload_model()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """architecture -> the directory of a random checkpoint of it."""
    made: dict[str, Path] = {}

    def make(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = _make(architecture, tmp_path_factory.mktemp(architecture))
        return made[architecture]

    return make


def _make(architecture: str, directory: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, GPTBigCodeConfig, LlamaConfig, MistralConfig

    common = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
    }
    if architecture == "gpt_bigcode":
        config = GPTBigCodeConfig(n_embd=64, n_layer=2, n_head=4, n_positions=512, **common)
    elif architecture == "llama":
        config = LlamaConfig(**sizes, **common)
    else:
        config = MistralConfig(sliding_window=256, **sizes, **common)
    torch.manual_seed(7)
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(WEIGHTS / name, directory)
    return directory
