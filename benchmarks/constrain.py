"""What the constraint costs: compiling it, and each token beyond the model's own time.

    python benchmarks/constrain.py
    python benchmarks/constrain.py --questions 20     beside a model's runs

A constraint is made for 200 and for 1,250 tables (5,000 names); each is compared with building
the prompt's schema text for the same tables. Then a right query goes through it token by token, as
it does while a model that is right writes it, and it is counted how many of its tokens are filled
in without the model. Then a model errs at several places: its first choices are words that cannot
come there, and after them come the schema's (the usual case), or nothing but noise (the worst).
With `--questions` the bundled model answers so many of the project's own, without guesses, and what
its guide takes is timed between its runs, which leave the processor's caches full of weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlcoder_magic.models.catalog import WEIGHTS
from sqlcoder_magic.models.constrain import Constraint, Grammar, Guide
from sqlcoder_magic.prompt import quote_name, schema_text
from sqlcoder_magic.types import Column, Schema, Table


def schema_of(tables: int) -> Schema:
    """So many tables of three columns each."""
    return Schema(
        "postgres",
        tuple(
            Table(
                f"table_{n}",
                "",
                tuple(Column(f"{one}_{n}", "TEXT", True) for one in ("id", "name", "price")),
                (),
                (),
            )
            for n in range(tables)
        ),
    )


def best_ms(work: Callable[[], object], rounds: int = 5) -> float:
    """Milliseconds of the fastest of some rounds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * min(times)


PLACES = (
    "SELECT ",
    "SELECT T1.",
    "SELECT name_7 FROM",
    "SELECT name_7 FROM table_7 WHERE",
    "SELECT T1.name_7 FROM table_7 AS",
    "SELECT name_7 FROM table_7 GROUP BY",
)
WRONG = "nationality clients Kyle 'x' ; DROP delete , ) price".split()
RIGHT = "name_7 price_7 table_7 T1 T2 id_7 COUNT FROM".split()


def errs_ms(grammar: Grammar, constraint: Constraint, place: str, usual: int) -> float:
    """Milliseconds to find the next token, where the likeliest cannot come."""
    import torch

    times = []
    for seed in range(9):
        guide = Guide(grammar, constraint)
        for token in grammar.tokens.tokenize_str(place):
            guide.accept(token)
        scores = torch.randn(49_152, generator=torch.Generator().manual_seed(seed))
        for number, word in enumerate([*WRONG, *RIGHT] if usual else []):
            for text in (word, f" {word}"):
                scores[grammar.tokens.tokenize_str(text)[0]] = 40.0 - number
        began = time.perf_counter()
        assert guide.best(scores) is not None
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


class Timed:
    """A guide whose calls are timed."""

    def __init__(self, guide: Guide) -> None:
        self._guide = guide
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            began = time.perf_counter()
            found = getattr(self._guide, name)(*arguments)
            self.seconds += time.perf_counter() - began
            return found

        return call


def between_runs(count: int) -> None:
    """The milliseconds a token, over answers to so many questions."""
    from sqlcoder_magic.evals.suites import open_suite
    from sqlcoder_magic.models import open_model
    from sqlcoder_magic.models.decode import PrefixCache, greedy, patient_threads
    from sqlcoder_magic.models.lookup import Lookup
    from sqlcoder_magic.prompt import build_prompt
    from sqlcoder_magic.types import Question

    model: Any = open_model("")
    suite, prefix, spent = open_suite("own"), PrefixCache(), []
    ends = {*model._ends, model._tokens.token_to_id(";")}
    with patient_threads(model._network, model.memory_bytes):
        for item in suite.items[:count]:
            schema = suite.schemas[item.db]
            asked = build_prompt(Question(item.question), schema, template=model.spec.template)
            held = Constraint.of(schema, lambda name: quote_name(name, "sqlite"))
            guide: Any = Timed(Guide(model._compiled(), held))
            stream = greedy(model._network, model.encode(asked), prefix, 256, Lookup(0), guide)
            for token, _ in stream:
                spent.append(1000 * guide.seconds)
                guide.seconds = 0.0
                if token in ends:
                    break
    print(
        f"between the runs of {model.spec.name}, {count} questions, {len(spent)} tokens: "
        f"{statistics.mean(spent):.2f} ms a token, median {statistics.median(spent):.2f}, "
        f"95 of 100 at most {statistics.quantiles(spent, n=20)[-1]:.2f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=0)
    questions = parser.parse_args().questions
    if questions:
        between_runs(questions)
        return
    began = time.perf_counter()
    grammar = Grammar((WEIGHTS / "tokenizer.json").read_text("utf-8"), [2], 49_152)
    print(f"grammar for a tokenizer of 49,152: {time.perf_counter() - began:.2f} s, once a model")
    for tables in (200, 1250):
        schema = schema_of(tables)

        def make(schema: Schema = schema) -> Constraint:
            return Constraint.of(schema, lambda name: quote_name(name, "postgres"))

        compiling = best_ms(lambda: Guide(grammar, make()))
        text = best_ms(partial(schema_text, schema, "tiny"))
        constraint = make()
        sql = (
            "SELECT T1.name_7, COUNT(*) FROM table_7 AS T1 JOIN table_9 AS T2 ON T1.id_7 = T2.id_9 "
            "WHERE T2.price_9 > 10 GROUP BY T1.name_7 ORDER BY COUNT(*) DESC LIMIT 3"
        )
        tokens = grammar.tokens.tokenize_str(sql)

        def follow(constraint: Constraint = constraint, tokens: list[int] = tokens) -> None:
            guide = Guide(grammar, constraint)
            for token in tokens:
                assert guide.allows(token)
                guide.accept(token)
                guide.forced()

        filled = written = 0
        guide, rest = Guide(grammar, constraint), sql
        while rest:
            token = grammar.tokens.tokenize_str(rest)[0]
            guide.accept(token)
            chosen = [token, *guide.forced()]
            for forced in chosen[1:]:
                guide.accept(forced)
            filled, written = filled + len(chosen) - 1, written + len(chosen)
            rest = rest.removeprefix(grammar.tokens.decode_str(chosen))
        wrong = [
            [errs_ms(grammar, constraint, place, usual) for place in PLACES] for usual in (1, 0)
        ]
        print(
            f"{tables:,} tables, {4 * tables:,} names: compiling {compiling:.1f} ms "
            f"({compiling / text:.2f} of the prompt's schema text); a right token "
            f"{best_ms(follow) / len(tokens):.3f} ms, {filled} of {written} filled in; a wrong one "
            f"{statistics.median(wrong[0]):.2f} ms (at most {max(wrong[0]):.2f}), in noise "
            f"{statistics.median(wrong[1]):.1f} ms (at most {max(wrong[1]):.1f})"
        )


if __name__ == "__main__":
    main()
