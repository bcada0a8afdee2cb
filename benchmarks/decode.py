"""Tokens a second of each way to decode, beside transformers' own `generate` in one process.

    python benchmarks/decode.py                      the bundled model, on what is here
    python benchmarks/decode.py --random 7b          a random model of a 7B's shape (GPU)
    python benchmarks/decode.py --random 7b --quantization 4bit
    python benchmarks/decode.py --random 7b --compile

Prints ratios against `generate`, the share of what the memory's bandwidth allows (weights read
once a token), the time to the first token cold and warm, and whether the tokens are equal. The
runs are interleaved and the best of each is taken, so that a busy machine hurts all alike. The
rates are of prompt and answer together; `behind_first`, those of the answer behind its first token,
are what the bound is about. Each round asks another question (the last tokens) about the same
schema (those before): from the second on `greedy` and `static` encode the question alone,
`generate` all. `guesses` are those with their guesses: answers to random tokens repeat themselves,
so how much they bring is measured in benchmarks/questions.py. `compiled` are the static steps after
torch.compile, with the seconds that compiling took, mostly in the first round (recording and
comparing included). The figures of an H100 are in docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

QUESTION = 30  # tokens of a question; the rest of a prompt is its schema
SHAPES = {  # hidden, intermediate, layers, heads, KV heads, vocabulary
    "tiny": (64, 128, 2, 4, 2, 512),
    "1b": (2048, 5632, 22, 32, 4, 32000),  # TinyLlama-1.1B
    "7b": (4096, 11008, 32, 32, 32, 32016),  # CodeLlama-7B, the base of sqlcoder-7b-2
    "mistral-7b": (4096, 14336, 32, 32, 8, 32000),  # the base of sqlcoder-7b
    "8b": (4096, 14336, 32, 32, 8, 128256),
}


def random_network(shape: str, device: str, quantization: str) -> Any:
    """A network with random weights, made on the device itself."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    hidden, inner, layers, heads, kept, vocabulary = SHAPES[shape]
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kept,
        vocab_size=vocabulary,
        max_position_embeddings=8192,
    )
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    torch.manual_seed(1)
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if quantization == "4bit":
        _to_4bit(network, dtype)
    return network.eval()


def _to_4bit(network: Any, dtype: Any) -> None:
    """Replace the layers' matrices by NF4 ones, as loading in 4 bits does."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    for layer in network.model.layers:
        for module in (layer.self_attn, layer.mlp):
            for name, child in list(module.named_children()):
                if not hasattr(child, "weight") or child.weight.dim() != 2:
                    continue
                new = Linear4bit(
                    child.in_features,
                    child.out_features,
                    bias=False,
                    compute_dtype=dtype,
                    compress_statistics=True,
                    quant_type="nf4",
                    device="meta",
                )
                device = child.weight.device
                new.weight = Params4bit(
                    child.weight.data.cpu(),
                    requires_grad=False,
                    quant_type="nf4",
                    compress_statistics=True,
                ).to(device)
                setattr(module, name, new)


def weights_read(network: Any) -> int:
    """Bytes of weights that one token needs: all but the embedding's table."""
    sizes = {id(p): p.numel() * p.element_size() for p in network.parameters()}
    table = network.get_input_embeddings().weight
    if network.get_output_embeddings().weight is not table:
        sizes.pop(id(table), None)
    return sum(sizes.values())


def bandwidth(device: str) -> float:
    """Bytes a second that a large copy reads and writes."""
    import torch

    data = torch.empty(2**30 if device == "cuda" else 2**27, dtype=torch.uint8, device=device)
    best = float("inf")
    for _ in range(5):
        began = _now(device)
        data.clone()
        best = min(best, _now(device) - began)
    return 2 * data.numel() / best


def _now(device: str) -> float:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(
    network: Any,
    schema: list[int],
    questions: list[list[int]],
    count: int,
    *,
    compiled: bool = False,
) -> dict[str, Any]:
    """Every way in turn, a question a round; the first round warms up, and captures."""
    from sqlcoder_magic.models.decode import PrefixCache, greedy, guesses_at_once
    from sqlcoder_magic.models.graph import StaticDecoder
    from sqlcoder_magic.models.lookup import Lookup

    device, width = network.device.type, guesses_at_once(network)
    static, wide = StaticDecoder(network), StaticDecoder(network, width)
    prefix, other = PrefixCache(), PrefixCache()
    ways: dict[str, Callable[[list[int]], Iterator[Any]]] = {
        "transformers": lambda ids: iter(_generate(network, ids, count)),
        "greedy": lambda ids: greedy(network, ids, prefix, count, Lookup(0)),
        "guesses": lambda ids: greedy(network, ids, other, count, Lookup(width)),
        "static": lambda ids: static.greedy(ids, count, Lookup(0)),
        "static_guesses": lambda ids: wide.greedy(ids, count, Lookup(width)),
    }
    static_c, wide_c = (StaticDecoder(network, many, compiled=True) for many in (0, width))
    if compiled:
        ways["compiled"] = lambda ids: static_c.greedy(ids, count, Lookup(0))
    if compiled and width:  # without guesses it would be the same step, compiled once more
        ways["compiled_guesses"] = lambda ids: wide_c.greedy(ids, count, Lookup(width))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    first: dict[str, list[float]] = {name: [] for name in ways}
    cold: list[float] = []
    tokens: dict[str, list[int]] = {}
    for question in questions:
        began = _now(device)
        next(greedy(network, [*schema, *question], PrefixCache(), 1, Lookup(0)))
        cold.append(_now(device) - began)
        for name, way in ways.items():
            began = _now(device)
            if name == "transformers":  # which gives all at once: its first token is run apart
                _generate(network, [*schema, *question], 1)
                first[name].append(_now(device) - began)
                began = _now(device)
            stream = way([*schema, *question])
            head = list(islice(stream, 1))
            if name != "transformers":
                first[name].append(_now(device) - began)
            both = [*head, *stream]
            tokens[name] = both if name == "transformers" else [token for token, _ in both]
            seconds[name].append(_now(device) - began)
    best = {name: min(times[1:]) for name, times in seconds.items()}
    behind = {
        name: min(whole - head for whole, head in list(zip(times, first[name], strict=True))[1:])
        for name, times in seconds.items()
    }
    possible = bandwidth(device) / weights_read(network)
    report: dict[str, Any] = {
        "note": static.note or wide.note or static_c.note or wide_c.note,
        "weights_gb": weights_read(network) / 1e9,
        "bound_tokens_s": possible,
        "first_token_s_cold": min(cold[1:]),
    }
    for name, time_ in best.items():
        warm = min(first[name][1:])
        report[name] = {
            "tokens_s": count / time_,
            "times_generate": best["transformers"] / time_,
            "share_of_bound": count / time_ / possible,
            "behind_first": {
                "tokens_s": (count - 1) / behind[name],
                "times_generate": behind["transformers"] / behind[name],
                "share_of_bound": (count - 1) / behind[name] / possible,
            },
            "first_token_s_warm": warm,
            "first_token_warm_of_cold": warm / min(cold[1:]),
            "equal_tokens": _equal(tokens[name], tokens["transformers"]),
        }
    report["static"]["equals_greedy"] = _equal(tokens["static"], tokens["greedy"])
    for name, decoder in (("compiled", static_c), ("compiled_guesses", wide_c)):
        if name in ways:
            report[name]["equals_static"] = _equal(tokens[name], tokens["static"])
            report[name]["compile_s"] = decoder.compile_s
            report[name]["first_round_s"] = seconds[name][0]
    return report


def _equal(mine: list[int], other: list[int]) -> float:
    """The share of tokens before the first that differs."""
    same = next((i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), len(mine))
    return same / max(len(other), 1)


def _generate(network: Any, prompt: list[int], count: int) -> list[int]:
    import torch
    from transformers import GenerationConfig

    ids = torch.tensor([prompt], device=network.device)
    config = GenerationConfig(
        do_sample=False, max_new_tokens=count, min_new_tokens=count, pad_token_id=0
    )
    with torch.inference_mode():
        out = network.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    tokens: list[int] = out[0, len(prompt) :].tolist()
    return tokens


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", choices=sorted(SHAPES))
    parser.add_argument("--quantization", default="auto", choices=("auto", "4bit"))
    parser.add_argument("--prompt", type=int, default=1500, help="tokens")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="compile the captured step too")
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.random:
        network = random_network(options.random, device, options.quantization)
    else:
        from sqlcoder_magic.models import open_model

        network = open_model(quantization=options.quantization)._network  # type: ignore[attr-defined]
    top, made = network.config.vocab_size, torch.Generator().manual_seed(2)
    schema = torch.randint(5, top, (options.prompt - QUESTION,), generator=made).tolist()
    questions = torch.randint(5, top, (options.rounds + 1, QUESTION), generator=made).tolist()
    report = measure(network, schema, questions, options.tokens, compiled=options.compile)
    if device == "cuda":
        report["device"] = torch.cuda.get_device_name(0)
        report["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    report["asked"] = vars(options)
    text = json.dumps(report, indent=1)
    print(text)
    if options.json:
        from pathlib import Path

        Path(options.json).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
