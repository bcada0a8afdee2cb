"""Scores on databases held out, the record, and its picture; two phases, one after the other."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest
import torch
from training_library import LIBRARY

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.training import record
from sqlcoder_magic.training.data import Corpus, Source, load, save
from sqlcoder_magic.training.feed import Feed, held_out_batches
from sqlcoder_magic.training.mix import Mixer
from sqlcoder_magic.training.network import loss_over, open_network, state_of, weights_of
from sqlcoder_magic.training.query import Names
from sqlcoder_magic.training.rename import renamed
from sqlcoder_magic.training.train import Recipe, read_state, train

RECIPE = Recipe(steps=12, peak=3e-3, warmup=3, score_every=4, embedding="all")


@pytest.fixture
def three(corpus: Corpus, feed: Feed) -> Feed:
    """A corpus of three databases of which one is held out."""
    (library,) = corpus.many()
    more = tuple(
        Source(renamed(LIBRARY, Names({"Author": f"Author{n}"})), library.asked[:n]) for n in (3, 4)
    )
    save(Corpus((*corpus.sources, *more)), feed.corpus)
    return replace(feed, hold_out=1)


def silent(_: str) -> None:
    """No progress."""


def test_a_database_held_out_is_in_no_lesson(three: Feed) -> None:
    whole = load(three.corpus)
    chosen = set()
    for seed in range(12):
        rest, held = whole.held_out(1, seed)
        assert (len(rest.many()), len(rest.single()), len(held.sources)) == (2, 2, 1)
        assert held.sources[0] not in rest.sources
        assert whole.held_out(1, seed) == (rest, held)
        chosen.add(held.sources[0].schema)
    assert len(chosen) == 3
    rest, held = whole.held_out(1, 0)
    mixer = Mixer(rest)
    assert set(mixer.pool.tables).isdisjoint(
        set(held.sources[0].schema.tables)
        - {table for source in rest.many() for table in source.schema.tables}
    )
    assert mixer.lesson(Random(0), 1).rows
    assert whole.held_out(0, 0)[0] == whole
    with pytest.raises(OptionError, match="Of 3 databases 3 cannot be held out"):
        whole.held_out(3, 0)


def test_held_out_questions_are_all_asked_in_packs(three: Feed) -> None:
    _, held = load(three.corpus).held_out(1, three.seed)
    batches = held_out_batches(three)
    assert sum(int(batch.segments.max()) for batch in batches) == len(held.sources[0].asked)
    assert held_out_batches(replace(three, hold_out=0)) == []
    with pytest.raises(OptionError, match="fits into 40 tokens"):
        held_out_batches(replace(three, limit=40))


def test_the_loss_over_batches_weighs_tokens(three: Feed, tiny_model: Path) -> None:
    network, batches = open_network(tiny_model), held_out_batches(three)
    sizes = [int((batch.labels != -100).sum()) for batch in batches]
    each = [loss_over(network, [batch], "cpu") for batch in batches]
    wanted = sum(size * loss for size, loss in zip(sizes, each, strict=True)) / sum(sizes)
    assert loss_over(network, batches, "cpu") == pytest.approx(wanted)


def test_the_best_state_is_kept_and_scored(three: Feed, tiny_model: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    done = train(RECIPE, three, tiny_model, tmp_path / "s.pt", report=lines.append)
    points = record.read(tmp_path / "s.jsonl")
    assert points == done.curve
    scores = {point["step"]: point["held_out"] for point in points if "held_out" in point}
    assert {4, 8, 12} <= set(scores)
    assert done.best == min(scores.values()) == scores[done.best_step]
    assert any(f"best {done.best:.4f} at step {done.best_step}" in line for line in lines)
    best = read_state(tmp_path / "s.best.pt")["average"]
    network = open_network(tiny_model)
    own = {name: weight.clone() for name, weight in state_of(network).items()}
    with weights_of(network, best):
        assert loss_over(network, held_out_batches(three), "cpu") == pytest.approx(done.best)
    assert all(torch.equal(weight, own[name]) for name, weight in state_of(network).items())
    for name in ("step", "seen", "tokens", "loss", "rate", "seconds", "phase"):
        assert all(point[name] >= 0 for point in points)
    assert [point["tokens"] for point in points] == sorted({p["tokens"] for p in points})


def test_training_ends_when_nothing_gets_better(
    three: Feed, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, steps=40, peak=1.0, score_every=1, patience=3)
    done = train(recipe, three, tiny_model, tmp_path / "s.pt", report=silent)
    assert done.scores_since == 3
    assert done.step == done.best_step + 3 < 40


def test_the_second_phase_goes_on_from_the_firsts_end(
    three: Feed, tiny_model: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    first = train(replace(RECIPE, phase=1), three, tiny_model, one, report=silent)
    assert {point["phase"] for point in first.curve} == {1}
    second = train(replace(RECIPE, phase=2), three, tiny_model, two, begin=one, report=silent)
    assert {point["phase"] for point in second.curve} == {2}
    still = replace(RECIPE, phase=2, peak=0.0, embedding="all")
    train(still, three, tiny_model, tmp_path / "still.pt", begin=one, report=silent)
    end, start = read_state(one)["average"], read_state(tmp_path / "still.pt")["network"]
    assert all(torch.equal(weight, start[name]) for name, weight in end.items())
    with pytest.raises(OptionError, match="There is no state"):
        train(RECIPE, three, tiny_model, tmp_path / "x.pt", begin=tmp_path / "none.pt")


def test_the_second_phases_gain_is_told(three: Feed, tiny_model: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    recipe = replace(RECIPE, steps=24, second_phase=0.3)
    done = train(recipe, three, tiny_model, tmp_path / "s.pt", report=lines.append)
    assert [point["phase"] for point in done.curve] == sorted(p["phase"] for p in done.curve)
    end = done.curve[-1]
    assert end["phase"] == 2
    assert lines[-1].endswith(f"{done.first_phase:.4f} -> {end['held_out']:.4f}")
    first = [point for point in done.curve if point["phase"] == 1][-1]
    assert first["held_out"] == done.first_phase < math.inf
    assert (tmp_path / "s.phase1.pt").exists()


def test_a_record_is_drawn(tmp_path: Path) -> None:
    points = [
        {"step": n, "seen": 10.0 * n, "loss": 2.0 / n, **({"held_out": 1.5 / n} if n == 50 else {})}
        for n in range(1, 101)
    ]
    record.write(tmp_path / "r.jsonl", points)
    assert record.read(tmp_path / "r.jsonl") == points
    picture = ElementTree.fromstring(record.plot(points))
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [100, 50, 1]
    heights = [float(place.split(",")[1]) for place in lines[1].attrib["points"].split()]
    assert heights == sorted(heights)  # the loss falls, downwards is more
    (dot,) = picture.findall("{http://www.w3.org/2000/svg}circle")
    assert (float(dot.attrib["cx"]), dot.attrib["cy"]) == (
        52 + 560 / 2,
        lines[2].attrib["points"].split(",")[1],
    )
    assert "held-out" in record.plot(points)
    assert "held-out" not in record.plot(points[:40])


def test_smoothing_keeps_the_mean() -> None:
    points = [{"step": n, "seen": n, "loss": float(n % 7)} for n in range(120)]
    assert record.smoothed(points, 30)[0] == (3, (0 + 1 + 2 + 3) / 4)
    assert len(record.smoothed(points, 30)) == 30


@pytest.mark.parametrize("text", ["", "{", '{"step": 1}', "[1]"])
def test_what_is_no_record_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.jsonl").write_text(text, "utf-8")
    with pytest.raises(OptionError, match=r"is not a record|holds no steps"):
        record.read(tmp_path / "r.jsonl")
