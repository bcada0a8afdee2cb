"""What this machine has, what a checkpoint needs, and which precision to choose, with the reason.

Reads config.json, safetensors headers, /proc/cpuinfo and the free memory; loads nothing. Not
covered: models spread over several machines.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlcoder_magic.errors import GenerationError, MemoryShortError, ModelLoadError, OptionError
from sqlcoder_magic.models.catalog import CATALOG, TINY
from sqlcoder_magic.models.packed import packed_name

GIB = 2**30
# Bytes a weight takes; bitsandbytes' 4-bit with double quantization holds 4.13 bits a weight
# (Dettmers et al., QLoRA, arXiv 2305.14314), LLM.int8 one byte and a little.
_BYTES = {"4bit": 0.52, "8bit": 1.05, "bf16": 2.0, "fp16": 2.0, "fp32": 4.0}
_OVERHEAD = 1.08  # activations and the allocator's slack
TOKENS = 2_048  # of a question with its schema and answer; more is checked when it is asked
# 4-bit bytes a parameter of a whole model, embeddings in 16 bits: 7 B took 5 GB, 70 B 41 GB.
_WHOLE_4BIT = 0.7


@dataclass(frozen=True)
class Machine:
    """Where a model would run. `free_bytes` is free memory on that device."""

    device: str
    name: str
    free_bytes: int
    bf16_in_hardware: bool


@dataclass(frozen=True)
class Size:
    """What a checkpoint holds: weights in its layers' matrices, other weights, cached numbers.

    Only the layers' matrices are quantized. `cached` counts the numbers of the KV cache.
    """

    layers: int
    others: int
    cached: int = 0

    def weight_bytes(self, quantization: str) -> int:
        """Bytes that the weights take in this precision."""
        return int(self.layers * _BYTES[quantization] + self.others * _rest(quantization))

    def bytes_needed(self, quantization: str) -> int:
        """`weight_bytes` with the room that one question needs."""
        cache = self.cached * _rest(quantization)
        return int(self.weight_bytes(quantization) * _OVERHEAD + cache)


def _rest(quantization: str) -> float:
    """Bytes a number takes that is not quantized."""
    return _BYTES["bf16" if quantization in ("4bit", "8bit") else quantization]


def size_of(
    config: dict[str, Any],
    files: list[Path] | None = None,
    *,
    tokens: int = TOKENS,
    beams: int = 1,
) -> Size:
    """The size of a checkpoint by its config.json; by the headers of `files`, where they are here.

    The KV cache is that of `tokens` tokens, and of a copy for each beam. Without files the network
    is built without memory (on the meta device). Raises ModelLoadError for damaged files, and for
    a config that transformers cannot read.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    known = {key: value for key, value in config.items() if key != "quantization_config"}
    copies = beams + 1 if beams > 1 else 1
    counted = count_parameters(files) if files is not None else None
    try:
        parsed = AutoConfig.for_model(**known)
        cached = kv_bytes(parsed, tokens, 1) * copies
        if counted is not None:
            return Size(*counted, cached)
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(parsed)
    except Exception as error:  # noqa: BLE001  (a foreign config fails in a hundred ways)
        raise ModelLoadError(
            f"The config.json cannot be loaded: {' '.join(str(error).split())[:300]}",
            fix="Check that it is of a causal language model that transformers knows; "
            "copy or download it again.",
        ) from None
    layers = others = 0
    for name, weights in network.named_parameters():
        matrix = _is_layers_matrix(name, len(weights.shape))
        layers, others = (
            (layers + weights.numel(), others) if matrix else (layers, others + weights.numel())
        )
    return Size(layers, others, cached)


def _is_layers_matrix(name: str, dimensions: int) -> bool:
    return dimensions > 1 and ("layers." in name or ".h." in name)


def this_machine() -> Machine:
    """The best device here: CUDA, else Apple's MPS, else the CPU. Imports torch."""
    import torch

    if torch.cuda.is_available():
        free = sum(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
        return Machine("cuda", torch.cuda.get_device_name(0), free, _cuda_has_bf16())
    import psutil

    free = int(psutil.virtual_memory().available)
    if torch.backends.mps.is_available():
        return Machine("mps", "Apple GPU", free, bf16_in_hardware=False)
    return Machine("cpu", f"{torch.get_num_threads()} CPU threads", free, _cpu_has_bf16())


def _cuda_has_bf16() -> bool:
    """True from Ampere on; a T4 only emulates bf16, slowly."""
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _cpu_has_bf16() -> bool:
    """True if this CPU multiplies bf16 itself; without, bf16 is several times slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:  # not Linux
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def count_parameters(files: list[Path]) -> tuple[int, int]:
    """(weights in matrices of layers, all other weights) of safetensors files, from headers.

    Only the first kind is quantized. Raises ModelLoadError for a truncated or damaged file.
    """
    layers = others = 0
    for path in files:
        for name, tensor in _header(path).items():
            if name == "__metadata__" or name.endswith(".scale"):
                continue
            count = 1
            for size in tensor["shape"]:
                count *= size
            packed = packed_name(name)
            if packed:  # bytes that hold weights of fewer bits
                count = count * 8 // packed[1]
            matrix = _is_layers_matrix(name, len(tensor["shape"]))
            layers, others = (layers + count, others) if matrix else (layers, others + count)
    return layers, others


def _header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file, checked against the file's size."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(length))
        ends = [t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"]
        missing = 8 + length + max(ends, default=0) - path.stat().st_size
        if missing > 0:
            raise ValueError(f"{missing:,} bytes are missing at the end")
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelLoadError(
            f"The weights file {path} is damaged: {error}.", fix="Copy or download it again."
        ) from None
    assert isinstance(header, dict)
    return header


def kv_bytes(config: Any, tokens: int, item_bytes: int) -> int:
    """Bytes of the KV cache of one sequence of so many tokens; `config` is transformers'."""
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    heads = config.num_attention_heads
    kept = 1 if getattr(config, "multi_query", False) else heads
    kept = getattr(config, "num_key_value_heads", None) or kept
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(2 * config.num_hidden_layers * kept * width * tokens * item_bytes)


def require_free(need: int, what: str) -> None:
    """Raise MemoryShortError, with what would do, if fewer than `need` bytes are free."""
    machine = this_machine()
    if need > machine.free_bytes:
        raise MemoryShortError(
            f"{what} need about {_gib(need)} on {machine.device} beside the weights; "
            f"{_gib(machine.free_bytes)} are free.",
            fix="Use fewer (--beams 1 needs the least), or name fewer tables (--tables a,b).",
        )


def held_bytes(device: str) -> int:
    """Bytes that this process holds on `device`: what grows while a model loads."""
    if device == "cuda":
        import torch

        return int(torch.cuda.memory_allocated())
    import psutil

    return int(psutil.Process().memory_info().rss)


def choose_precision(
    wanted: str, size: Size, machine: Machine, *, bundled: bool
) -> tuple[str, str]:
    """(precision, the reason for it), checked against the free memory.

    "auto" takes 16 bits where they fit, then 4; fp32 on a CPU that lacks bf16. Raises
    MemoryShortError, which says what would fit, and OptionError for what the device lacks.
    """
    if wanted in ("4bit", "8bit") and machine.device == "mps":
        raise OptionError(
            f"{wanted} needs bitsandbytes on CUDA or a CPU, not Apple's GPU.", fix="Use fp16."
        )
    full = _full_precision(machine)
    if wanted != "auto":
        if size.bytes_needed(wanted) > machine.free_bytes:
            raise _too_little(wanted, size, machine)
        return wanted, "as asked for"
    if size.bytes_needed(full) <= machine.free_bytes:
        return full, _why_full(full, size, machine, bundled=bundled)
    if machine.device != "mps" and size.bytes_needed("4bit") <= machine.free_bytes:
        return "4bit", (
            f"{full} needs {_gib(size.bytes_needed(full))}, {_gib(machine.free_bytes)} are free"
        )
    raise _too_little(full, size, machine)


def _full_precision(machine: Machine) -> str:
    if machine.device == "mps":
        return "fp16"
    if machine.device == "cuda":
        return "bf16" if machine.bf16_in_hardware else "fp16"
    return "bf16" if machine.bf16_in_hardware else "fp32"


def _why_full(full: str, size: Size, machine: Machine, *, bundled: bool) -> str:
    if machine.device != "cpu":
        return f"{_gib(size.bytes_needed(full))} of {_gib(machine.free_bytes)} free"
    hardware = (
        "this CPU multiplies bf16 itself"
        if full == "bf16"
        else "without bf16 in hardware, fp32 is the fastest on this CPU"
    )
    small = ", and 4 bits cost so small a model points" if bundled else ""
    return f"no GPU; {hardware}{small}"


def _too_little(quantization: str, size: Size, machine: Machine) -> MemoryShortError:
    need, free = size.bytes_needed(quantization), machine.free_bytes
    smaller = [q for q in ("8bit", "4bit") if size.bytes_needed(q) <= free]
    fix = (
        f"--quantization {smaller[0]} would fit ({_gib(size.bytes_needed(smaller[0]))})."
        if smaller and machine.device != "mps"
        else f"Free memory, or use {_what_fits(machine)}."
    )
    return MemoryShortError(
        f"{quantization} needs about {_gib(need)} on {machine.device}; {_gib(free)} are free.",
        fix=fix,
    )


def _what_fits(machine: Machine) -> str:
    """The largest SQLCoder for this machine, in words; else the bundled one."""
    each = _BYTES["fp16"] * _OVERHEAD if machine.device == "mps" else _WHOLE_4BIT
    fitting = [
        entry
        for entry in CATALOG
        if entry.repo.startswith("defog/") and entry.parameters * 1e9 * each < machine.free_bytes
    ]
    bundled = f"the bundled one (--model {TINY.name})"
    if not fitting:
        return bundled
    best = max(fitting, key=lambda entry: entry.parameters)
    bits = "" if machine.device == "mps" else " --quantization 4bit"
    return f"a smaller model (--model {best.repo}{bits}), or {bundled}"


def require_some_precision(config: dict[str, Any]) -> None:
    """Raise MemoryShortError if a model fits in no precision: before it is downloaded."""
    machine = this_machine()
    smallest = "fp16" if machine.device == "mps" else "4bit"
    size = size_of(config)
    if size.bytes_needed(smallest) > machine.free_bytes:
        raise _too_little(smallest, size, machine)


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GB"


def torch_memory_error() -> type[Exception]:
    """PyTorch's out-of-memory error (CUDA)."""
    import torch

    error = torch.OutOfMemoryError
    assert issubclass(error, Exception)
    return error


def memory_error(error: Exception, device: str) -> Exception:
    """`error` as a sentence: MemoryShortError if that is what it means."""
    text = str(error)
    if not isinstance(error, torch_memory_error()) and "can't allocate" not in text:
        return GenerationError(
            f"The model failed while it worked on {device}: {' '.join(text.split())[:300]}",
            fix="Load it again (%sqlcoder unload, then ask); if that fails too, in another "
            "precision: --quantization fp32.",
        )
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()
    return MemoryShortError(
        f"Out of memory on {device}. The model is still there for a shorter prompt.",
        fix="Name fewer tables (--tables a,b), use fewer beams, or --quantization 4bit.",
    )
