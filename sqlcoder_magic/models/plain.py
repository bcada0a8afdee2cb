"""The bundled model as a plain Hugging Face directory, for a server or any other tool.

    python -m sqlcoder_magic --export-model DIR --quantization bf16

The package stores it in a format of its own (`packed`), which nothing else reads. Not covered:
other models, which lie in a plain directory already, and quantized copies.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.models.catalog import TINY, WEIGHTS
from sqlcoder_magic.models.constrain import one_decoder
from sqlcoder_magic.models.files import find_checkpoint
from sqlcoder_magic.models.packed import read_packed

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_COPIED = (
    "generation_config.json",
    "tokenizer_config.json",
    "README.md",
    "LICENSE",
)


def export_model(directory: str | Path, precision: str = "bf16") -> Path:
    """Write the bundled model into `directory`, which must be new or empty; that directory.

    `precision` is bf16, fp16 or fp32: 0.27, 0.27 or 0.54 GB. Raises OptionError for another one,
    for a directory that holds something, and where it cannot be written.
    """
    if precision not in _DTYPES:
        raise OptionError(
            f"The model cannot be written in {precision}.", fix="Choose bf16, fp16 or fp32."
        )
    out = Path(directory).expanduser()
    try:
        if out.exists() and any(out.iterdir()):
            raise OptionError(f"{out} is not empty.", fix="Name a new directory.")
        out.mkdir(parents=True, exist_ok=True)
        _write(out, _DTYPES[precision])
    except OSError as error:
        raise OptionError(
            f"The model cannot be written to {out}: {error.strerror or error}.",
            fix="Name a directory that you may write, on a disk with 0.6 GB free.",
        ) from None
    return out


def _write(out: Path, dtype: str) -> None:
    import torch
    from safetensors.torch import save_file

    checkpoint = find_checkpoint(TINY.name)
    state = read_packed(checkpoint.weights, getattr(torch, dtype))
    weights = out / "model.safetensors"
    save_file(state, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # it comes as 600, and a server is often another user
    config = {**checkpoint.config, "dtype": dtype}
    (out / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    tokenizer = one_decoder((WEIGHTS / "tokenizer.json").read_text("utf-8"))
    (out / "tokenizer.json").write_text(tokenizer, "utf-8")
    for name in _COPIED:
        shutil.copyfile(WEIGHTS / name, out / name)
