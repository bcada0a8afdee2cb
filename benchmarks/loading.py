"""Loading, beside plain reading of the same files; and 4-bit weights quantized or from their copy.

    python benchmarks/loading.py                     a random Llama of 1.6 GB, and the bundled model
    python benchmarks/loading.py --layers 4          a smaller one (0.8 GB)

All in one process, without the imports, rounds interleaved and the best of each taken. "Cold" drops
the files from the system's memory first (posix_fadvise: Linux); what a virtual machine's host keeps
stays. A load counts until every page of every weight was touched, since files are mapped and come
when they are read. CPU seconds stand beside the clock's, for machines that others use too. Not
covered: GPUs; docs/scale.md has what was measured there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOCABULARY = 49_152  # of the bundled tokenizer, which the random model borrows
PAGE = 4096


@dataclass
class Best:
    """The quickest round: seconds by the clock, and of the CPU."""

    clock: float = float("inf")
    cpu: float = float("inf")

    def add(self, work: Callable[[], object]) -> None:
        """Time `work` and keep the better."""
        began, spent = time.perf_counter(), time.process_time()
        made = work()
        self.clock = min(self.clock, time.perf_counter() - began)
        self.cpu = min(self.cpu, time.process_time() - spent)
        del made


def make(directory: Path, layers: int) -> None:
    """A random Llama in bf16, in files of 600 MB."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from sqlcoder_magic.models.catalog import WEIGHTS

    config = LlamaConfig(
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=16,
        vocab_size=VOCABULARY,
        max_position_embeddings=4096,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(1)
    network = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    network.save_pretrained(directory, max_shard_size="600MB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(WEIGHTS / name, directory)
    os.sync()  # only clean pages can be dropped


def read(files: list[Path]) -> None:
    """Plain reading, as `dd` does."""
    buffer = bytearray(8 * 2**20)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def forget(files: list[Path]) -> None:
    """Drop the files from the system's memory."""
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def load(name: str, quantization: str) -> Any:
    """The model, every page of it in memory; as `open_model` does it, without the slot."""
    from sqlcoder_magic.models.files import find_checkpoint
    from sqlcoder_magic.models.fit import this_machine
    from sqlcoder_magic.models.loading import _quiet
    from sqlcoder_magic.models.opening import load_local

    with _quiet():
        model = load_local(
            name,
            find_checkpoint(name),
            quantization,
            this_machine(),
            lambda doing, count: None,
            keep_copy=True,
        )
    touch(model)
    return model


def touch(model: Any) -> int:
    """Read a byte of each page of the weights."""
    import torch

    return sum(
        int(weight.data.view(torch.uint8).flatten()[::PAGE].sum())
        for weight in model._network.parameters()
    )


def memory(count: int) -> object:
    """Take `count` bytes from the system, page by page: no load that converts is quicker."""
    import torch

    return torch.zeros(count, dtype=torch.uint8).fill_(1)


def report(what: str, best: Best, size: int, against: Best | None) -> None:
    """A line: seconds, CPU seconds, GB of the files a second, the ratio to plain reading."""
    rate = f"{size / best.clock / 1e9:7.2f} GB/s"
    ratio = f"{against.clock / best.clock:8.2f} of reading" if against else ""
    print(f"{what:<34}{best.clock:8.2f} s{best.cpu:8.2f} s CPU{rate}{ratio}")


def whole(directory: Path, rounds: int) -> None:
    """16 and 32 bits beside plain reading, warm and cold."""
    files = sorted(directory.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    names = ["read", "bf16", "fp32"]
    found = {(name, cold): Best() for name in names for cold in (False, True)}
    room = Best()
    for _ in range(rounds):
        for name, cold in found:
            if cold:
                forget(files)
            else:
                read(files)
            work = (
                (lambda: read(files))
                if name == "read"
                else (lambda n=name: load(str(directory), n))
            )
            found[name, cold].add(work)
        room.add(lambda: memory(2 * size))
    print(f"\n{size / 1e9:.2f} GB of bf16 weights in {len(files)} files")
    for (name, cold), best in found.items():
        what = "plain reading" if name == "read" else f"load in {name}"
        against = None if name == "read" else found["read", cold]
        report(f"{what}, {'cold' if cold else 'warm'}", best, size, against)
    report("as much fresh memory as fp32 takes", room, size, None)


def quantized(directory: Path, rounds: int) -> None:
    """Quantizing on loading, beside loading the copy."""
    original = sorted(directory.glob("*.safetensors"))
    copies = Path(os.environ["SQLCODER_MAGIC_CACHE"]) / "4bit"
    anew, warm, cold, written = Best(), Best(), Best(), Best()
    for _ in range(rounds):
        shutil.rmtree(copies, ignore_errors=True)
        os.environ["SQLCODER_MAGIC_CACHE"] = os.devnull  # nowhere to keep a copy: only quantizing
        read(original)
        anew.add(lambda: load(str(directory), "4bit"))
        os.environ["SQLCODER_MAGIC_CACHE"] = str(copies.parent)
        written.add(lambda: load(str(directory), "4bit"))
        (copy,) = (path for path in copies.iterdir() if path.is_dir())
        files = sorted(copy.glob("*.safetensors"))
        read(files)
        warm.add(lambda: load(str(directory), "4bit"))
        forget(files)
        cold.add(lambda: load(str(directory), "4bit"))
    size = sum(file.stat().st_size for file in files)
    print(f"\n4 bits; the copy has {size / 1e9:.2f} GB")
    for what, best in (
        ("quantizing, warm", anew),
        ("quantizing and writing the copy", written),
        ("from the copy, warm", warm),
        ("from the copy, cold", cold),
    ):
        print(
            f"{what:<34}{best.clock:8.2f} s{best.cpu:8.2f} s CPU"
            f"{best.clock / anew.clock:8.3f} of quantizing, CPU {best.cpu / anew.cpu:.3f}"
        )


def bundled(rounds: int) -> None:
    """The bundled model, and the parts of its load."""
    import torch

    from sqlcoder_magic.models.files import find_checkpoint
    from sqlcoder_magic.models.opening import _load_tokens
    from sqlcoder_magic.models.packed import read_packed

    checkpoint = find_checkpoint("")
    size = sum(file.stat().st_size for file in checkpoint.weights)
    parts: list[tuple[str, Callable[[], object]]] = [
        ("plain reading", lambda: read(checkpoint.weights)),
        ("the whole load", lambda: load("", "auto")),
        ("  of it unpacking int8", lambda: read_packed(checkpoint.weights, torch.float32)),
        ("  of it the tokenizer", lambda: _load_tokens(checkpoint)),
    ]
    first = Best()
    first.add(lambda: load("", "auto"))
    found = [(what, work, Best()) for what, work in parts]
    for _ in range(rounds):
        for _, work, best in found:
            best.add(work)
    print("\nThe bundled model, warm, after `import torch, transformers`")
    report("the first load (lazy imports)", first, size, None)
    for what, _, best in found:
        report(what, best, size, None)


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=12, help="12: 1.6 GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["whole", "quantized", "bundled"])
    options = parser.parse_args()
    began = time.perf_counter()
    import torch
    import transformers

    print(
        f"imports of torch {torch.__version__} and transformers {transformers.__version__}: ",
        end="",
    )
    print(f"{time.perf_counter() - began:.1f} s; {torch.get_num_threads()} threads, load", end=" ")
    print(f"{os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["SQLCODER_MAGIC_CACHE"] = str(Path(temporary) / "cache")
        directory = Path(temporary) / "llama"
        if options.only in (None, "bundled"):
            bundled(options.rounds)
        if options.only != "bundled":
            make(directory, options.layers)
        if options.only in (None, "whole"):
            whole(directory, options.rounds)
        if options.only in (None, "quantized"):
            quantized(directory, 1)


if __name__ == "__main__":
    main()
