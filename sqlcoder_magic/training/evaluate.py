"""Greedy answers to a suite's questions in batches, for `python -m sqlcoder_magic.evals`.

The prompts are those that `evals` gives a model; only the batching is this module's: a schema
goes through the network once for all questions about it. Not covered: judging (`evals`),
constraint and repair (this measures the weights alone).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlcoder_magic.evals.suites import Suite
from sqlcoder_magic.models.catalog import TINY
from sqlcoder_magic.models.stops import cut_at_stop
from sqlcoder_magic.training.pack import cut_prompt, encode

END = 2


def predict(
    network: Any,
    tokens: Any,
    suite: Suite,
    *,
    device: str = "cpu",
    new_tokens: int = 160,
    rows: int = 24,
) -> dict[str, str]:
    """Question id -> SQL. Up to `rows` questions of a database are answered at once."""
    found: dict[str, str] = {}
    for db, schema in suite.schemas.items():
        asked = [item for item in suite.items if item.db == db]
        head = encode(tokens, cut_prompt(schema, "")[0])
        tails = {item.id: encode(tokens, cut_prompt(schema, item.question)[1]) for item in asked}
        names = sorted(tails, key=lambda name: len(tails[name]))
        for start in range(0, len(names), rows):
            group = names[start : start + rows]
            answers = continuations(network, head, [tails[n] for n in group], device, new_tokens)
            for name, answer in zip(group, answers, strict=True):
                found[name] = cut_at_stop(tokens.decode(answer), TINY.stops)[0].strip()
    return {item.id: found[item.id] for item in suite.items}


def continuations(
    network: Any, head: list[int], tails: list[list[int]], device: str, new_tokens: int
) -> list[list[int]]:
    """What the network writes after `head` and each tail, up to the end token.

    The head goes through once; its keys and values serve every row. All rows read the part of
    their tails that is as long as the shortest together, then one token a step: the next one of
    its tail, or the likeliest. A row that has ended leaves the batch.
    """
    import torch

    together = min(map(len, tails))
    written: list[list[int]] = [[] for _ in tails]
    running = list(range(len(tails)))
    with torch.inference_mode():
        cache = network(torch.tensor([head], device=device), use_cache=True).past_key_values
        cache.batch_repeat_interleave(len(tails))
        fed = torch.tensor([tail[:together] for tail in tails], device=device)
        for place in range(together, max(map(len, tails)) + new_tokens):
            logits = network(fed, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            likeliest = logits[:, -1].argmax(-1).tolist()
            ended = set()
            for row, token in zip(running, likeliest, strict=True):
                if place >= len(tails[row]):
                    if token == END or len(written[row]) == new_tokens:
                        ended.add(row)
                    else:
                        written[row].append(token)
            kept = [number for number, row in enumerate(running) if row not in ended]
            if not kept:
                break
            if ended:
                cache.batch_select_indices(torch.tensor(kept, device=device))
            running = [running[number] for number in kept]
            fed = torch.tensor(
                [
                    [tails[row][place] if place < len(tails[row]) else written[row][-1]]
                    for row in running
                ],
                device=device,
            )
    return written


def write_predictions(predictions: dict[str, str], path: Path) -> None:
    """Lines of {"id", "sql"}."""
    lines = (json.dumps({"id": name, "sql": sql}) + "\n" for name, sql in predictions.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), "utf-8")
