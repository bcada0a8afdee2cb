"""Many notebooks that ask one server, beside one model in this process.

    python benchmarks/served.py http://localhost:8000/v1 --name sqlcoder-tiny
    python benchmarks/served.py http://localhost:8000/v1 --notebooks 1 16 --constrain
    python benchmarks/served.py http://localhost:8000/v1 --quantization fp32 --notebooks 1

The project's own questions are asked of a local model, one after another, and then of the server by
so many threads at once, each with a client of its own. Prints questions a second, the ratio to the
local model, the median wait for an answer and for its first token, and how many texts are those of
the local model, which is free of `--constrain`. The server may be any that
docs/scale.md names; what it takes of the same processor is not told apart.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def main() -> None:
    """Parse, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--name", default="", help="what the server calls the model")
    parser.add_argument("--model", default="", help="the local model to compare with")
    parser.add_argument("--quantization", default="auto", help="of the local model")
    parser.add_argument("--notebooks", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--limit", type=int, default=63)
    parser.add_argument("--constrain", action="store_true", help="hold the server to the schema")
    options = parser.parse_args()
    from sqlcoder_magic.evals.suites import open_suite
    from sqlcoder_magic.models import Constraint, open_model
    from sqlcoder_magic.models.server import ServerModel
    from sqlcoder_magic.prompt import build_prompt, quote_name
    from sqlcoder_magic.types import Draft, Question

    suite = open_suite("own")
    items = suite.items[: options.limit]
    local = open_model(options.model, quantization=options.quantization)

    def ask(model: Any, item: Any, *, held: bool) -> Draft:
        schema = suite.schemas[item.db]
        asked = build_prompt(Question(item.question), schema, template=model.spec.template)
        limit: Any = None
        if held:
            limit = Constraint.of(schema, lambda name: quote_name(name, schema.dialect))
        draft: Draft = model.generate(asked, max_new_tokens=300, timeout_s=600, constraint=limit)
        return draft

    began = time.monotonic()
    expected = [ask(local, item, held=False).text for item in items]
    base = len(items) / (time.monotonic() - began)
    print(f"{len(items)} questions; {local.spec.name} here, one after another: {base:.2f} a second")
    for count in options.notebooks:
        clients = [ServerModel(options.url, options.name) for _ in range(count)]
        began = time.monotonic()

        def share(number: int, clients: Any = clients, count: int = count) -> list[Draft]:
            mine = items[number::count]
            return [ask(clients[number], item, held=options.constrain) for item in mine]

        with ThreadPoolExecutor(count) as pool:
            shares = list(pool.map(share, range(count)))
        rate = len(items) / (time.monotonic() - began)
        drafts = [shares[at % count][at // count] for at in range(len(items))]
        equal = sum(one.text == text for one, text in zip(drafts, expected, strict=True))
        print(
            f"{count:3} at once: {rate:.2f} a second, {rate / base:.1f} times; median wait "
            f"{statistics.median(one.seconds for one in drafts):.2f} s, first token "
            f"{statistics.median(one.first_token_s for one in drafts):.2f} s; "
            f"equal {equal} of {len(items)}"
        )
        for client in clients:
            client.unload()


if __name__ == "__main__":
    main()
