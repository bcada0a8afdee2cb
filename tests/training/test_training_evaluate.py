"""Answers in batches that share their schema are those of `generate`, one question at a time."""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
from training_library import LIBRARY, QUESTIONS

from sqlcoder_magic.training.evaluate import END, continuations
from sqlcoder_magic.training.network import open_network
from sqlcoder_magic.training.pack import cut_prompt, encode, load_tokens
from sqlcoder_magic.types import Schema


def _generated(network: object, prompt: list[int], new_tokens: int) -> list[int]:
    ids = torch.tensor([prompt])
    written = network.generate(  # type: ignore[attr-defined]
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new_tokens,
        do_sample=False,
        eos_token_id=END,
        pad_token_id=END,
    )
    row: list[int] = written[0, len(prompt) :].tolist()
    return row[: row.index(END)] if END in row else row


def test_a_batch_answers_as_generate_does_alone(tiny_model: Path) -> None:
    network = open_network(tiny_model).eval()
    tokens = load_tokens(tiny_model / "tokenizer.json")
    head = encode(tokens, cut_prompt(LIBRARY, "")[0])
    bare = Schema(LIBRARY.dialect, ())
    tails = [encode(tokens, cut_prompt(bare, question)[1]) for question, _ in QUESTIONS]
    assert len({len(tail) for tail in tails}) > 2
    alone = [_generated(network, head + tail, 12) for tail in tails]
    assert continuations(network, head, tails, "cpu", 12) == alone


def test_a_row_that_ends_leaves_the_others_as_they_were(tiny_model: Path) -> None:
    """The end token's row of the head takes another token's place, so that some rows end early."""
    network = open_network(tiny_model).eval()
    rng = Random(3)
    head = [rng.randrange(3, 300) for _ in range(30)]
    tails = [[rng.randrange(3, 300) for _ in range(rng.randint(2, 9))] for _ in range(8)]
    first = _generated(network, head + tails[0], 6)
    weight = network.get_output_embeddings().weight
    with torch.no_grad():
        weight[END] = weight[first[3]] * 1.5
    alone = [_generated(network, head + tail, 16) for tail in tails]
    assert len({len(row) for row in alone}) > 1
    assert continuations(network, head, tails, "cpu", 16) == alone
