"""Preference: the right query against the same with a column on the wrong alias.

Two drafts in three that do not execute name a column of a table that does not have it.
`wrong_alias` makes such a query from a right one, and `prefer` trains by direct preference
optimisation (Rafailov et al., 2023): both are answers of one pack, so that they share schema
and forward pass. Not covered: negatives of the model's own making.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.training.feed import Feed, tools
from sqlcoder_magic.training.mix import Lesson
from sqlcoder_magic.training.network import answer_logits
from sqlcoder_magic.training.pack import NO_LOSS, Batch, Pack, collate, pack
from sqlcoder_magic.training.query import Names, Query, Slot, read_query, render
from sqlcoder_magic.types import Schema

if TYPE_CHECKING:
    import torch


def wrong_alias(sql: str, schema: Schema, rng: Random) -> str | None:
    """The query with one column qualified by a table of the same FROM that does not have it.

    So it parses and fails in every database of this schema. None if no column can be moved, or
    if the query is not read as it is written.
    """
    query = read_query(sql, schema)
    if query is None or render(query, Names(), schema.dialect) != sql:
        return None
    columns = {t.name: {c.name.lower() for c in t.columns} for t in schema.tables}
    sources = _sources(query)
    choices: list[Query] = []
    for place, (slot, dot, column) in enumerate(
        zip(query.parts, query.parts[1:], query.parts[2:], strict=False)
    ):
        if not isinstance(slot, Slot) or not isinstance(column, Slot) or dot != ".":
            continue
        for scope in _scopes(slot, sources):
            choices += [
                replace(query, parts=(*query.parts[:place], other, *query.parts[place + 1 :]))
                for other in sources[scope]
                if column.column.lower() not in columns[other.table]
            ]
    return render(rng.choice(choices), Names(), schema.dialect) if choices else None


def _sources(query: Query) -> dict[int, list[Slot]]:
    """How a column of each table that a SELECT reads is qualified, by the SELECT's number."""
    found: dict[int, list[Slot]] = {}
    for part, after in zip(query.parts, (*query.parts[1:], ""), strict=True):
        if isinstance(part, Slot) and part.kind == "table":
            named = isinstance(after, Slot) and after.kind == "as"
            source = Slot("owner", part.table)
            if named and isinstance(after, Slot):
                source = replace(after, kind="alias")
            found.setdefault(part.scope, []).append(source)
    return found


def _scopes(slot: Slot, sources: dict[int, list[Slot]]) -> list[int]:
    """The SELECT whose table qualifies there; none if it could be of two."""
    scopes = [scope for scope, slots in sources.items() if slot in slots]
    return scopes if len(scopes) == 1 else []


def paired(lesson: Lesson, rng: Random) -> Lesson:
    """The lesson's questions that have a wrong query, each answered rightly, then wrongly."""
    rows = []
    for question, sql in lesson.rows:
        wrong = wrong_alias(sql, lesson.schema, rng)
        if wrong is not None:
            rows += [(question, sql), (question, wrong)]
    return Lesson(lesson.schema, tuple(rows))


def pack_pairs(lesson: Lesson, tokens: Any, limit: int) -> Pack | None:
    """The pairs that fit together; None if none does."""
    rows = lesson.rows
    while rows:
        made = pack(Lesson(lesson.schema, rows), tokens, limit)
        if made is not None and made.questions == len(rows):
            return made
        rows = rows[:-2]
    return None


def pairs(feed: Feed, phase: int = 2) -> Iterator[Batch]:
    """Batches of pairs without end, about the feed's budget of padded tokens each."""
    mixer, tokens = tools(feed)
    rng = Random(f"{feed.seed}/pairs/{phase}")
    group: list[Pack] = []
    while True:
        made = pack_pairs(paired(mixer.lesson(rng, phase), rng), tokens, feed.limit)
        if made is None:
            continue
        longest = max(len(one.ids) for one in (*group, made))
        if group and longest * (len(group) + 1) > feed.budget:
            yield collate(group)
            group = []
        group.append(made)


def log_probabilities(
    network: Any, batch: Batch, device: str, *, half: bool = False
) -> torch.Tensor:
    """Of the whole answers, in nats [pairs, 2]: the right one, the wrong one."""
    import torch
    from torch.nn.functional import cross_entropy

    logits, targets = answer_logits(network, batch, device, half=half)
    answers = targets != NO_LOSS
    each = -cross_entropy(logits, targets[answers], reduction="none")
    most = int(batch.segments.max()) + 1
    place = answers.nonzero()[:, 0] * most + batch.segments[:, 1:][answers]
    sums = torch.zeros(len(batch.ids) * most, device=each.device).index_add(0, place, each)
    two = sums.view(len(batch.ids), most)[:, 1:].reshape(len(batch.ids), most // 2, 2)
    there = batch.segments.amax(1)[:, None] > 2 * torch.arange(two.shape[1], device=each.device)
    found: torch.Tensor = two[there]
    return found


def dpo_loss(policy: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """Equation 7 of Rafailov et al. (2023), the mean over pairs.

    Both [pairs, 2], log-probabilities of the right and the wrong answer.
    """
    from torch.nn.functional import logsigmoid

    ratios = policy - reference
    return -logsigmoid(beta * (ratios[:, 0] - ratios[:, 1])).mean()


@dataclass(frozen=True)
class Preference:
    """A step: its loss, the mean margin in nats of right over wrong (beyond the reference's),
    the share of pairs whose right answer is the likelier, and how many pairs."""

    loss: float
    margin: float
    right: float
    pairs: int


def prefer(
    network: Any,
    reference: Any,
    batches: Iterable[Batch],
    *,
    rate: float,
    beta: float = 0.1,
    device: str = "cpu",
    half: bool = False,
) -> Iterator[Preference]:
    """A step a batch on `network`; `reference` is what it was. The embedding stays as it is."""
    import torch

    network.get_input_embeddings().weight.requires_grad_(False)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    for batch in batches:
        tensors = batch.to(device)
        with torch.no_grad():
            before = log_probabilities(reference, tensors, device, half=half)
        policy = log_probabilities(network, tensors, device, half=half)
        loss = dpo_loss(policy, before, beta)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        now = policy.detach()
        gained = (now - before) @ torch.tensor([1.0, -1.0], device=now.device)
        likelier = (now[:, 0] > now[:, 1]).float().mean()
        yield Preference(loss.item(), gained.mean().item(), likelier.item(), len(now))
