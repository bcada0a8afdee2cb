"""The bundled model as a plain directory: the same weights, read by transformers alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from sqlcoder_magic.__main__ import main
from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.models import export_model
from sqlcoder_magic.models.catalog import TINY, find_entry
from sqlcoder_magic.models.files import find_checkpoint
from sqlcoder_magic.models.packed import read_packed


def test_transformers_reads_what_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = tmp_path / "sqlcoder-tiny"
    assert main(["--export-model", str(directory)]) == 0
    assert str(directory) in capsys.readouterr().out
    assert json.loads((directory / "config.json").read_text())["dtype"] == "bfloat16"
    assert (directory / "model.safetensors").stat().st_mode & stat.S_IROTH

    network = AutoModelForCausalLM.from_pretrained(directory)
    assert network.dtype == torch.bfloat16
    stored = read_packed(find_checkpoint(TINY.name).weights, torch.bfloat16)
    read = network.state_dict()
    assert set(stored) <= set(read)
    assert all(torch.equal(stored[name], read[name]) for name in stored)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert tokenizer.decode(tokenizer("SELECT 1").input_ids) == "SELECT 1"


def test_a_server_that_decodes_under_a_grammar_reads_its_tokens(tmp_path: Path) -> None:
    """vLLM's guidance took the packed model's tokenizer for one of letters, and wrote `SELECT`."""
    from llguidance import LLTokenizer

    written = (export_model(tmp_path / "one") / "tokenizer.json").read_text("utf-8")
    tokens = LLTokenizer(written, n_vocab=49_152, eos_token=[2])
    number = json.loads(written)["model"]["vocab"]["Ġregion"]
    assert tokens.decode_bytes([number]) == b" region"


def test_what_cannot_be_written_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(OptionError, match="is not empty"):
        export_model(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(OptionError, match="cannot be written to"):
        export_model(tmp_path / "kept" / "below")
    assert main(["--export-model", str(tmp_path / "new"), "--quantization", "4bit"]) == 2
    assert "bf16, fp16 or fp32" in capsys.readouterr().err


def test_it_is_known_by_its_directory() -> None:
    """A server that was given a directory may call the model by its path."""
    for name in ("sqlcoder-tiny", "/models/sqlcoder-tiny", "models/SQLCoder-Tiny/"):
        assert find_entry(name) is TINY
    assert find_entry("/models/sqlcoder-7b-2-ft") is find_entry("defog/sqlcoder-7b-2")
    assert find_entry("/models/sqlcoder-tiny/other") is None
