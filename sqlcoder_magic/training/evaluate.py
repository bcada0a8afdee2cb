"""Greedy answers to a suite's questions in batches, for `python -m sqlcoder_magic.evals`.

The prompts are those that `evals` gives a model; only the batching is this module's. Not
covered: judging (`evals`), constraint and repair (this measures the weights alone).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlcoder_magic.evals.suites import Suite
from sqlcoder_magic.models.catalog import TINY
from sqlcoder_magic.models.stops import cut_at_stop
from sqlcoder_magic.prompt import build_prompt
from sqlcoder_magic.training.pack import encode
from sqlcoder_magic.types import Question

END = 2


def predict(
    network: Any,
    tokens: Any,
    suite: Suite,
    *,
    device: str = "cpu",
    new_tokens: int = 160,
    budget: int = 60_000,
) -> dict[str, str]:
    """Question id -> SQL. `budget` is how many prompt tokens go through at once."""
    prompts = {}
    for item in suite.items:
        question = Question(item.question)
        prompt = build_prompt(question, suite.schemas[item.db], template=TINY.template)
        prompts[item.id] = encode(tokens, prompt.text)
    found: dict[str, str] = {}
    for group in _groups(sorted(prompts, key=lambda one: len(prompts[one])), prompts, budget):
        answers = _answers(network, [prompts[name] for name in group], device, new_tokens)
        for name, answer in zip(group, answers, strict=True):
            found[name] = cut_at_stop(tokens.decode(answer), TINY.stops)[0].strip()
    return {item.id: found[item.id] for item in suite.items}


def _groups(names: list[str], prompts: dict[str, list[int]], budget: int) -> Iterator[list[str]]:
    group: list[str] = []
    for name in names:
        if group and (len(group) + 1) * len(prompts[name]) > budget:
            yield group
            group = []
        group.append(name)
    if group:
        yield group


def _answers(
    network: Any, prompts: list[list[int]], device: str, new_tokens: int
) -> list[list[int]]:
    """What the network writes after each prompt, up to the end token; padded on the left."""
    import torch

    longest = max(map(len, prompts))
    ids = torch.tensor([[END] * (longest - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    with torch.inference_mode():
        written = network.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=END,
            pad_token_id=END,
        )
    rows: list[list[int]] = written[:, longest:].tolist()
    return [row[: row.index(END)] if END in row else row for row in rows]


def write_predictions(predictions: dict[str, str], path: Path) -> None:
    """Lines of {"id", "sql"}."""
    lines = (json.dumps({"id": name, "sql": sql}) + "\n" for name, sql in predictions.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), "utf-8")
