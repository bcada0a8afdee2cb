"""Seconds and tokens a second of real questions: the bundled model beside transformers' `generate`.

    python benchmarks/questions.py                    63 questions about the two sample databases
    python benchmarks/questions.py --model DIR --quantization fp32 --limit 10
    python benchmarks/questions.py --constrain        held to the schema, but for `generate`

Each question is answered in turn by `generate`, by the greedy loop without guesses, with guesses
looked up in the prompt and in phrases (as in a first question), and with earlier answers too (as in
a notebook); on a GPU by the recorded step in the last three of these ways too. The first token is
left out, so what differs is the way of writing. Times are of the processor, which a busy machine
hurts less, and on a GPU of the clock. Prints tokens a second as ratios to `generate`, and the share
of answers with equal tokens.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


def now(device: str) -> float:
    """Seconds: of the processor, or of the clock when the GPU has done what it was given."""
    import torch

    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def answer(
    stream: Iterator[tuple[int, float]], ends: set[int], device: str
) -> tuple[list[int], float]:
    """The tokens of an answer, and the seconds it took behind the first."""
    began, tokens = 0.0, []
    for token, _ in stream:
        began = began or now(device)
        tokens.append(token)
        if token in ends:
            break
    return tokens, now(device) - began if tokens else 0.0


def generated(network: Any, ids: list[int], ends: set[int], count: int) -> tuple[list[int], float]:
    """The same by transformers' `generate`: the seconds of the prompt alone are taken off."""
    import torch
    from transformers import GenerationConfig

    prompt = torch.tensor([ids], device=network.device)

    def run(most: int) -> tuple[list[int], float]:
        config = GenerationConfig(
            do_sample=False, max_new_tokens=most, eos_token_id=sorted(ends), pad_token_id=0
        )
        began = now(network.device.type)
        with torch.inference_mode():
            out = network.generate(
                prompt, attention_mask=torch.ones_like(prompt), generation_config=config
            )
        return out[0, len(ids) :].tolist(), now(network.device.type) - began

    _, first = run(1)
    tokens, whole = run(count)
    return tokens, whole - first


@dataclass
class Way:
    """A way of writing answers: seconds that it took, its tokens behind the first ones, and how
    many answers had the tokens of `generate`.
    """

    stream: Callable[[list[int], Any], Iterator[tuple[int, float]]]
    decoder: Any = None  # of recorded steps; its note says why nothing is recorded, if so
    seconds: float = 0.0
    tokens: int = 0
    equal: int = 0

    def ask(self, ids: list[int], guide: Any, ends: set[int], device: str) -> list[int]:
        """Answer a prompt, and count."""
        tokens, took = answer(self.stream(ids, guide), ends, device)
        self.seconds, self.tokens = self.seconds + took, self.tokens + max(0, len(tokens) - 1)
        return tokens


def ways(network: Any, phrases: list[int], remembering: Any) -> dict[str, Way]:
    """All ways of this package, `remembering` with the guesses that a notebook's kernel has."""
    from sqlcoder_magic.models.decode import PrefixCache, greedy, lookup_for
    from sqlcoder_magic.models.graph import StaticDecoder
    from sqlcoder_magic.models.lookup import Lookup

    first = lookup_for(network, phrases)
    lookups = {
        "greedy": lambda: Lookup(0),
        "guesses": lambda: Lookup(first.width, phrases, first.pace),  # what it costs is known
        "remembering": lambda: remembering,
    }

    def eager(lookup: Any) -> Way:
        return Way(lambda ids, guide: greedy(network, ids, PrefixCache(), 256, lookup(), guide))

    def recorded(lookup: Any, guesses: int) -> Way:
        static = StaticDecoder(network, guesses)
        return Way(lambda ids, guide: static.greedy(ids, 256, lookup(), guide), static)

    found = {name: eager(lookup) for name, lookup in lookups.items()}
    if network.device.type == "cuda":
        for name, lookup in lookups.items():
            found[f"recorded {name}"] = recorded(lookup, 0 if name == "greedy" else first.width)
    return found


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="")
    parser.add_argument("--quantization", default="auto")
    parser.add_argument("--limit", type=int, default=63)
    parser.add_argument("--constrain", action="store_true", help="hold the answers to the schema")
    options = parser.parse_args()
    from sqlcoder_magic.evals.suites import open_suite
    from sqlcoder_magic.models import Constraint, open_model
    from sqlcoder_magic.models.constrain import Guide
    from sqlcoder_magic.models.decode import lookup_for, patient_threads
    from sqlcoder_magic.models.lookup import PHRASES
    from sqlcoder_magic.prompt import build_prompt, quote_name
    from sqlcoder_magic.types import Question, Schema

    model: Any = open_model(options.model, quantization=options.quantization)
    network, ends = model._network, {*model._ends, model._tokens.token_to_id(";")}
    device: str = network.device.type
    phrases = model._tokens.encode(PHRASES, add_special_tokens=False).ids
    remembering = lookup_for(network, phrases)
    suite = open_suite("own")

    def guide_for(schema: Schema) -> Guide | None:
        if not options.constrain:
            return None
        constraint = Constraint.of(schema, lambda name: quote_name(name, schema.dialect))
        return Guide(model._compiled(), constraint)

    generate, found = Way(lambda ids, guide: iter(())), ways(network, phrases, remembering)
    items = suite.items[: options.limit]
    with patient_threads(network, model.memory_bytes):
        for number, item in enumerate(items):
            schema = suite.schemas[item.db]
            asked = build_prompt(Question(item.question), schema, template=model.spec.template)
            ids = model.encode(asked)
            if not number:  # the first answers make recordings and prepare kernels
                for way in found.values():
                    way.ask(ids, guide_for(schema), ends, device)
                    way.seconds, way.tokens = 0.0, 0
            expected, took = generated(network, ids, ends, 256)
            generate.seconds += took
            generate.tokens += len(expected) - 1
            for name, way in found.items():
                written = way.ask(ids, guide_for(schema), ends, device)
                way.equal += written == expected
                if name == "remembering":
                    learned = written
            remembering.remember(learned)
    print(f"{len(items)} questions, {generate.tokens} tokens, {network.dtype}")
    base = generate.tokens / generate.seconds
    print(f"{'generate':20} {base:6.1f} tokens/s")
    for name, way in found.items():
        rate = way.tokens / way.seconds
        print(
            f"{name:20} {rate:6.1f} tokens/s, {rate / base:.2f} x generate, "
            f"equal {way.equal} of {len(items)} {way.decoder.note if way.decoder else ''}".rstrip()
        )


if __name__ == "__main__":
    main()
