"""Seconds and tokens a second of real questions: the bundled model beside transformers' `generate`.

    python benchmarks/questions.py                    63 questions about the two sample databases
    python benchmarks/questions.py --model DIR --quantization fp32 --limit 10

Each question is answered in turn by `generate`, by the greedy loop without guesses, with guesses
looked up in the prompt and in phrases (as in a first question), and with earlier answers too (as in
a notebook). All encode the whole prompt, so what differs is the way of writing; the first token is
left out. Times are of the processor, which a busy machine hurts less. Prints tokens a second as
ratios to `generate`, and the share of answers with equal tokens.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any


def answer(stream: Iterator[tuple[int, float]], ends: set[int]) -> tuple[list[int], float]:
    """The tokens of an answer, and the seconds it took behind the first."""
    began, tokens = 0.0, []
    for token, _ in stream:
        began = began or time.process_time()
        tokens.append(token)
        if token in ends:
            break
    return tokens, time.process_time() - began


def generated(network: Any, ids: list[int], ends: set[int], count: int) -> tuple[list[int], float]:
    """The same by transformers' `generate`: the seconds of the prompt alone are taken off."""
    import torch
    from transformers import GenerationConfig

    prompt = torch.tensor([ids], device=network.device)

    def run(most: int) -> tuple[list[int], float]:
        config = GenerationConfig(
            do_sample=False, max_new_tokens=most, eos_token_id=sorted(ends), pad_token_id=0
        )
        began = time.process_time()
        with torch.inference_mode():
            out = network.generate(
                prompt, attention_mask=torch.ones_like(prompt), generation_config=config
            )
        return out[0, len(ids) :].tolist(), time.process_time() - began

    _, first = run(1)
    tokens, whole = run(count)
    return tokens, whole - first


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="")
    parser.add_argument("--quantization", default="auto")
    parser.add_argument("--limit", type=int, default=63)
    parser.add_argument("--width", type=int, default=-1, help="guesses at a time")
    options = parser.parse_args()
    from sqlcoder_magic.evals.suites import open_suite
    from sqlcoder_magic.models import open_model
    from sqlcoder_magic.models.decode import PrefixCache, greedy, guesses_at_once, patient_threads
    from sqlcoder_magic.models.lookup import PHRASES, Lookup
    from sqlcoder_magic.prompt import build_prompt
    from sqlcoder_magic.types import Question

    model: Any = open_model(options.model, quantization=options.quantization)
    network, ends = model._network, {*model._ends, model._tokens.token_to_id(";")}
    width = guesses_at_once(network) if options.width < 0 else options.width
    phrases = model._tokens.encode(PHRASES, add_special_tokens=False).ids
    remembering = Lookup(width, phrases)
    suite = open_suite("own")
    seconds = dict.fromkeys(("generate", "greedy", "guesses", "remembering"), 0.0)
    equal, count = dict.fromkeys(seconds, 0), 0
    items = suite.items[: options.limit]
    with patient_threads(network, model.memory_bytes):
        for item in items:
            prompt = build_prompt(
                Question(item.question), suite.schemas[item.db], template=model.spec.template
            )
            ids = model.encode(prompt)
            expected, took = generated(network, ids, ends, 256)
            seconds["generate"] += took
            count += len(expected) - 1
            lookups = {
                "greedy": Lookup(0),
                "guesses": Lookup(width, phrases),
                "remembering": remembering,
            }
            for name, lookup in lookups.items():
                tokens, took = answer(greedy(network, ids, PrefixCache(), 256, lookup), ends)
                seconds[name] += took
                equal[name] += tokens == expected
            remembering.remember(expected)
    print(f"{len(items)} questions, {count} tokens, {network.dtype}, {width} guesses at a time")
    for name, took in seconds.items():
        share = "" if name == "generate" else f", equal {equal[name]} of {len(items)}"
        print(
            f"{name:12} {count / took:6.1f} tokens/s, "
            f"{seconds['generate'] / took:.2f} x generate{share}"
        )


if __name__ == "__main__":
    main()
