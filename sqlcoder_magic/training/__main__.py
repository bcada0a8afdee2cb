"""`python -m sqlcoder_magic.training`: prepare, pack, train, evaluate, export.

Parses the line and calls one of the room's functions. Nothing else.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlcoder_magic.errors import NL2SQLError, OptionError
from sqlcoder_magic.models.catalog import WEIGHTS
from sqlcoder_magic.settings import LineParser
from sqlcoder_magic.training.feed import Feed, some_packs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from a shell; the exit status is 0, or 1 after a sentence on standard error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (words[0], words[1:]) if words else ("", [])
    try:
        if command not in COMMANDS:
            raise OptionError(
                f"There is no command {command!r}.", fix="Commands: " + ", ".join(COMMANDS) + "."
            )
        options, run = COMMANDS[command]
        parser = LineParser(prog=f"python -m sqlcoder_magic.training {command}")
        options(parser.add_argument)
        run(parser.parse_args(rest))
    except NL2SQLError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


Add = Callable[..., object]


def _prepare_options(add: Add) -> None:
    add("--data", type=Path, required=True, metavar="FILE", help="text2sql_train.json(.xz)")
    add("--tables", type=Path, metavar="FILE", help="single_table_train.json(.xz)")
    add("--keep-out", type=Path, nargs="*", default=[], metavar="FILE", help="suites measured on")
    add("--out", type=Path, required=True, metavar="FILE", help="the corpus, as .json.xz")


def _prepare(options: Namespace) -> None:
    from sqlcoder_magic.training.data import prepare, save

    corpus = prepare(options.data, options.tables, options.keep_out)
    save(corpus, options.out)
    many, single = corpus.many(), corpus.single()
    print(
        f"{len(many)} databases with {sum(len(s.asked) for s in many):,} questions, "
        f"{len(single):,} single tables with {sum(len(s.asked) for s in single):,}."
    )


def _feed_options(add: Add) -> None:
    add("--corpus", type=Path, required=True, metavar="FILE", help="what prepare wrote")
    add("--start", type=Path, default=WEIGHTS, metavar="DIR", help="weights to start from")
    add("--seed", type=int, default=0, metavar="N", help="seed of the lessons")
    add("--tokens", type=int, default=24_576, metavar="N", help="tokens of a step")
    add("--limit", type=int, default=2_048, metavar="N", help="tokens of a pack")


def _feed(options: Namespace) -> Feed:
    tokenizer = options.start / "tokenizer.json"
    return Feed(options.corpus, tokenizer, options.seed, options.tokens, options.limit)


def _pack_options(add: Add) -> None:
    _feed_options(add)
    add("--phase", type=int, choices=(1, 2), default=1, help="which mix of lessons")
    add("--batches", type=int, default=8, metavar="N", help="how many")
    add("--out", type=Path, required=True, metavar="FILE", help="a .npz file")


def _pack(options: Namespace) -> None:
    """Batches as a file: to look at, or to train where nothing can make them."""
    import numpy as np

    began, arrays, packs, tokens = time.monotonic(), {}, 0, 0
    for number, batch in enumerate(some_packs(_feed(options), options.phase, options.batches)):
        packs, tokens = packs + len(batch.ids), tokens + int((batch.segments >= 0).sum())
        for name in ("ids", "labels", "segments", "positions"):
            arrays[f"{number}.{name}"] = getattr(batch, name)
    np.savez_compressed(options.out, **arrays)
    seconds = time.monotonic() - began
    print(f"{packs} packs, {tokens:,} tokens, {packs / seconds:.0f} packs a second.")


def _train_options(add: Add) -> None:
    _feed_options(add)
    add("--state", type=Path, required=True, metavar="FILE", help="written; gone on from if there")
    add("--steps", type=int, default=0, metavar="N", help="length of the schedule")
    add("--seconds", type=float, default=0.0, metavar="S", help="the same in seconds")
    add("--until", type=float, default=1.0, metavar="SHARE", help="stop at this share of it")
    add("--rate", type=float, default=3e-4, metavar="X", help="peak learning rate")
    add("--warmup", type=int, default=60, metavar="N", help="steps")
    add("--second-phase", type=float, default=0.4, metavar="SHARE", help="where it begins")
    add("--workers", type=int, default=0, metavar="N", help="processes that make batches")
    add("--compile", action="store_true", help="compile the layers")


def _train(options: Namespace) -> None:
    from sqlcoder_magic.training.train import Recipe, train

    recipe = Recipe(
        steps=options.steps,
        seconds=options.seconds,
        peak=options.rate,
        warmup=options.warmup,
        second_phase=options.second_phase,
    )
    began = time.monotonic()
    train(
        recipe,
        _feed(options),
        options.start,
        options.state,
        until=options.until,
        device=_device(),
        workers=options.workers,
        compiled=options.compile,
        report=lambda line: print(f"{line} (+{time.monotonic() - began:.0f} s)", flush=True),
    )


def _export_options(add: Add) -> None:
    add("--state", type=Path, required=True, metavar="FILE", help="what train wrote")
    add("--start", type=Path, default=WEIGHTS, metavar="DIR", help="tokenizer and config")
    add("--last", action="store_true", help="the last weights, not their average")
    add("--out", type=Path, required=True, metavar="DIR", help="where the weights go")


def _export(options: Namespace) -> None:
    import torch

    from sqlcoder_magic.training.export import export

    saved = torch.load(options.state, map_location="cpu", weights_only=True)
    state = saved["network" if options.last else "average"]
    for path in export(state, options.start, options.out):
        print(f"{path} {path.stat().st_size:,} bytes")


def _evaluate_options(add: Add) -> None:
    add("--weights", type=Path, default=WEIGHTS, metavar="DIR", help="what export wrote")
    add("--suite", required=True, metavar="FILE", help="a suite of evals")
    add("--databases", metavar="DIR", help="where its SQLite databases lie")
    add("--limit", type=int, metavar="N", help="only so many questions")
    add("--out", type=Path, required=True, metavar="FILE", help="predictions, as JSON lines")


def _evaluate(options: Namespace) -> None:
    import torch

    from sqlcoder_magic.evals.suites import open_suite
    from sqlcoder_magic.training.evaluate import predict, write_predictions
    from sqlcoder_magic.training.network import open_network
    from sqlcoder_magic.training.pack import load_tokens

    began, device = time.monotonic(), _device()
    network: Any = open_network(options.weights).eval()
    network = network.to(device, torch.bfloat16 if device == "cuda" else torch.float32)
    suite = open_suite(options.suite, options.databases).first(options.limit)
    tokens = load_tokens(options.weights / "tokenizer.json")
    budget = 60_000 if device == "cuda" else 4_000
    write_predictions(predict(network, tokens, suite, device=device, budget=budget), options.out)
    print(f"{len(suite.items)} questions, {time.monotonic() - began:.0f} s.")


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


COMMANDS: dict[str, tuple[Callable[[Add], None], Callable[[Namespace], None]]] = {
    "prepare": (_prepare_options, _prepare),
    "pack": (_pack_options, _pack),
    "train": (_train_options, _train),
    "evaluate": (_evaluate_options, _evaluate),
    "export": (_export_options, _export),
}

if __name__ == "__main__":
    sys.exit(main())
