"""Rows of the embedding: those that no batch holds do not move by one bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.training.feed import Feed, some_packs
from sqlcoder_magic.training.network import (
    absent_rows_held,
    loss_of,
    open_network,
    state_of,
)
from sqlcoder_magic.training.train import Recipe, read_state, train

EMBEDDING = "model.embed_tokens.weight"
RECIPE = Recipe(steps=20, peak=1e-2, warmup=3)


def seen_rows(feed: Feed, steps: int) -> torch.Tensor:
    """Which tokens the first batches of the first phase hold [vocabulary]."""
    seen = torch.zeros(49_152, dtype=torch.bool)
    for batch in some_packs(feed, 1, steps):
        seen[torch.from_numpy(batch.ids[batch.segments >= 0]).long()] = True
    return seen


def test_a_row_that_no_batch_holds_does_not_move_and_the_loss_falls(
    feed: Feed, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, phase=1)
    done = train(recipe, feed, tiny_model, tmp_path / "s.pt", report=lambda _: None)
    saved, seen = read_state(tmp_path / "s.pt"), seen_rows(feed, recipe.steps)
    before = state_of(open_network(tiny_model))[EMBEDDING]
    assert 100 < seen.sum() < 5_000
    for weights in ("network", "average"):
        after = saved[weights][EMBEDDING]
        assert torch.equal(after[~seen], before[~seen])
        assert not (after[seen] == before[seen]).all(dim=1).any()
    losses = [point["loss"] for point in done.curve]
    assert sum(losses[-3:]) < 0.93 * sum(losses[:3])


def test_without_that_absent_rows_drift(feed: Feed, tiny_model: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=2, phase=1, embedding="all")
    train(recipe, feed, tiny_model, tmp_path / "s.pt", report=lambda _: None)
    before = state_of(open_network(tiny_model))[EMBEDDING]
    moved = read_state(tmp_path / "s.pt")["network"][EMBEDDING] != before
    assert moved[~seen_rows(feed, 2)].any(dim=1).float().mean() > 0.99


def test_a_frozen_embedding_stays_and_the_rest_learns(
    feed: Feed, tiny_model: Path, tmp_path: Path
) -> None:
    recipe, state = replace(RECIPE, embedding="frozen"), tmp_path / "s.pt"
    random = open_network(tiny_model)  # so faint an embedding that a frozen one tells no tokens
    random.get_input_embeddings().weight.data *= 20
    random.save_pretrained(tiny_model)
    done = train(recipe, feed, tiny_model, state, until=0.5, report=lambda _: None)
    done = train(recipe, feed, tiny_model, state, report=lambda _: None)
    before, after = state_of(open_network(tiny_model)), read_state(state)["network"]
    assert [name for name in before if torch.equal(before[name], after[name])] == [EMBEDDING]
    losses = [point["loss"] for point in done.curve]
    assert len(losses) == 20
    assert sum(losses[-3:]) < 0.98 * sum(losses[:3])
    with pytest.raises(OptionError, match="'frozen', not 'present'"):
        train(replace(RECIPE, steps=40), feed, tiny_model, state, report=lambda _: None)


def test_present_rows_step_as_they_would_without_absent_ones(feed: Feed, tiny_model: Path) -> None:
    """By plain gradient descent: present rows move by their gradient, absent ones not at all."""
    (batch,) = some_packs(feed, 1, 1)
    network, tensors = open_network(tiny_model), batch.to("cpu")
    loss_of(network, tensors, "cpu").backward()
    weight = network.get_input_embeddings().weight
    before, gradient = weight.detach().clone(), weight.grad.clone()
    with absent_rows_held(network, tensors):
        torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.01).step()
    present = seen_rows(feed, 1)
    wanted = before - 0.1 * (gradient + 0.01 * before)
    torch.testing.assert_close(weight.detach()[present], wanted[present])
    assert torch.equal(weight.detach()[~present], before[~present])
    assert (gradient[~present] != 0).any()


def test_an_unknown_way_is_a_sentence(feed: Feed, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'some' is nothing that can move"):
        train(replace(RECIPE, embedding="some"), feed, tiny_model, tmp_path / "s.pt")
