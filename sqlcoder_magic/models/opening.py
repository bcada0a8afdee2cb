"""Opening a checkpoint: tokenizer, precision and weights, from files to a `LocalModel`.

One path for all: choose the precision, check the memory, load; 4-bit weights from the copy that was
kept of them (`copies`), where there is one. Not covered: finding or fetching the files (`files`),
one model a kernel and Ctrl-C while loading (`loading`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.errors import ModelLoadError
from sqlcoder_magic.models import copies
from sqlcoder_magic.models.catalog import entry_for
from sqlcoder_magic.models.chat import has_chat_template, template_of
from sqlcoder_magic.models.copies import Place
from sqlcoder_magic.models.files import Checkpoint
from sqlcoder_magic.models.fit import (
    Machine,
    choose_precision,
    memory_error,
    size_of,
    torch_memory_error,
)
from sqlcoder_magic.models.local import LocalModel
from sqlcoder_magic.models.packed import is_packed, read_packed
from sqlcoder_magic.types import ModelSpec

if TYPE_CHECKING:
    import torch

OnStep = Callable[[str, int], None]
"""Called with what is done now, and the bytes that memory will take for it (0: not known)."""


def load_local(
    name: str,
    checkpoint: Checkpoint,
    wanted: str,
    machine: Machine,
    on_step: OnStep,
    *,
    keep_copy: bool = False,
) -> LocalModel:
    """Load a checkpoint in the precision `wanted` ("auto": what fits best).

    `keep_copy`: the user agreed to a copy of 4-bit weights on disk.
    """
    size = size_of(checkpoint.config, checkpoint.weights)
    precision, why = choose_precision(wanted, size, machine, bundled=checkpoint.bundled)
    on_step(f"loading {name}", size.weight_bytes(precision))
    small = checkpoint.bundled or is_packed(checkpoint.weights)  # only its own exports are packed
    chats = has_chat_template(checkpoint.directory)
    entry, guess = entry_for("sqlcoder-tiny" if small else name, chats=chats)
    tokens = _load_tokens(checkpoint)
    opened = _open(checkpoint, precision, machine)
    rows = opened.network.get_input_embeddings().weight.shape[0]
    if tokens.get_vocab_size() > rows + 512:  # some checkpoints trim unused rows
        raise ModelLoadError(
            f"The tokenizer has {tokens.get_vocab_size():,} tokens, the model {rows:,}.",
            fix="The tokenizer's files belong to another model: copy the right ones.",
        )
    notes = [f"{why}.", guess, opened.note]
    if opened.place is not None and keep_copy:
        on_step(f"keeping a 4-bit copy of {name}", 0)
        notes.append(copies.keep(opened.place, opened.network))
    elif opened.place is not None:
        notes.append(copies.offer(opened.place, opened.network))
    spec = ModelSpec(
        name or entry.name,
        "local",
        precision,
        machine.device,
        template=template_of(entry, checkpoint.directory),
        context=min(entry.context, _positions(checkpoint.config)),
        stops=entry.stops,
        reason=" ".join(filter(None, notes)),
    )
    return LocalModel(spec, opened.network, tokens, _end_tokens(checkpoint, tokens))


def _positions(config: dict[str, Any]) -> int:
    return int(config.get("max_position_embeddings") or config.get("n_positions") or 2048)


def _load_tokens(checkpoint: Checkpoint) -> Any:
    """The tokenizer, set so that special tokens in its input stay text."""
    from tokenizers import Tokenizer

    path = checkpoint.directory / "tokenizer.json"
    try:
        if path.exists():
            tokens = Tokenizer.from_file(str(path))
        else:
            from transformers import AutoTokenizer

            loaded = AutoTokenizer.from_pretrained(checkpoint.directory, trust_remote_code=False)
            tokens = loaded.backend_tokenizer
    except Exception as error:  # noqa: BLE001  (`tokenizers` raises bare Exception)
        raise ModelLoadError(
            f"The tokenizer in {checkpoint.directory} cannot be read: {error}",
            fix="Copy or download its files again.",
        ) from None
    tokens.encode_special_tokens = True
    return tokens


def _end_tokens(checkpoint: Checkpoint, tokens: Any) -> frozenset[int]:
    """The ids that end an answer: the config's, generation config's, and known end tokens."""
    import json

    ends: set[int] = set()
    sources = [checkpoint.config]
    path = checkpoint.directory / "generation_config.json"
    if path.exists():
        try:
            sources.append(dict(json.loads(path.read_text("utf-8"))))
        except (ValueError, TypeError) as error:
            raise ModelLoadError(
                f"{path} is damaged: {error}.", fix="Copy or download it again."
            ) from None
    for source in sources:
        value = source.get("eos_token_id")
        ends |= set(value) if isinstance(value, list) else {value} if value is not None else set()
    known = ("<|eot_id|>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>")
    ends |= {i for i in (tokens.token_to_id(token) for token in known) if i is not None}
    return frozenset(ends)


@dataclass(frozen=True)
class _Opened:
    """The network, a note about its copy on disk, and the place for one if it has none yet."""

    network: Any
    note: str = ""
    place: Place | None = None


def _open(checkpoint: Checkpoint, precision: str, machine: Machine) -> _Opened:
    """The network of a checkpoint, whatever goes wrong said as a sentence."""
    try:
        opened = _original_or_copy(checkpoint, precision, machine)
    except ImportError as error:
        raise ModelLoadError(
            f"Loading in {precision} needs a package that is not here: {error}",
            fix="%pip install bitsandbytes accelerate, or use --quantization bf16.",
        ) from None
    except torch_memory_error() as error:
        raise memory_error(error, machine.device) from None
    except Exception as error:  # a damaged or foreign checkpoint fails in a hundred ways
        raise ModelLoadError(
            f"{checkpoint.directory} cannot be loaded: {' '.join(str(error).split())[:400]}",
            fix="Check that it is a causal language model in the Hugging Face layout; "
            "copy or download it again if a file is damaged.",
        ) from error
    network = opened.network
    if machine.device == "mps":
        network = network.to("mps")
    # The checkpoint's own sampling defaults must not decide: the 8B's once switched sampling on.
    from transformers import GenerationConfig

    network.generation_config = GenerationConfig()
    return replace(opened, network=network.eval())


def _original_or_copy(checkpoint: Checkpoint, precision: str, machine: Machine) -> _Opened:
    """From the copy of 4-bit weights if there is a good one; raises whatever the libraries do."""
    dtype = _dtype(precision, machine)
    options: dict[str, Any] = {"dtype": dtype}
    if machine.device == "cuda":
        options["device_map"] = "auto"
    place, note = None, ""
    if precision in ("4bit", "8bit"):
        quantization = _quantization_config(precision, dtype)
        if "quantization_config" not in checkpoint.config:
            options["quantization_config"] = quantization
        if precision == "4bit":
            kind, double = quantization.bnb_4bit_quant_type, quantization.bnb_4bit_use_double_quant
            settings = {"type": kind, "double": double, "dtype": str(dtype)}
            place = copies.place_of(checkpoint, settings)
    if place is not None:
        whole, note = copies.check(place)
        if whole:
            try:
                plain = options | {"quantization_config": None}  # its config.json has its own
                network = _from_directory(place.directory, plain)
                return _Opened(network, f"Loaded from the 4-bit copy in {place.words}.")
            except (ImportError, torch_memory_error()):
                raise
            except Exception as error:  # noqa: BLE001  (as above: the original is still there)
                note = copies.drop(place, " ".join(str(error).split())[:200])
    if is_packed(checkpoint.weights):
        return _Opened(_from_packed(checkpoint, options), note, place)
    return _Opened(_from_directory(checkpoint.directory, options), note, place)


def _from_directory(directory: Path, options: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    network, found = AutoModelForCausalLM.from_pretrained(
        directory,
        config=config,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        **options,
    )
    lacking = sorted(found["missing_keys"])  # transformers would make them up
    if lacking:
        raise ValueError(f"its files lack {len(lacking)} of the weights, {lacking[0]} for one")
    return network


def _from_packed(checkpoint: Checkpoint, options: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(checkpoint.directory, trust_remote_code=False)
    state = read_packed(checkpoint.weights, options["dtype"])
    kind = AutoModelForCausalLM._model_mapping[type(config)]
    return kind.from_pretrained(None, config=config, state_dict=state, **options)


def _dtype(precision: str, machine: Machine) -> torch.dtype:
    import torch

    named = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    if precision in named:
        return named[precision]
    if precision == "8bit":
        return torch.float16  # what LLM.int8 computes in
    if machine.bf16_in_hardware:
        return torch.bfloat16
    return torch.float16 if machine.device == "cuda" else torch.float32


def _quantization_config(precision: str, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if precision == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
