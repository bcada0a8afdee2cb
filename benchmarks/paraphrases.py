"""Does an embedding model help to choose tables where question and schema share no words?

    python benchmarks/paraphrases.py MODEL_DIRECTORY [--tables 1000]

The generated warehouse (`warehouse.py`), asked about in other words: only the country is named as
the schema names it. Prints the share of needed tables within the budget, ranked by words alone and
by words and the model fused; and the same for questions in the schema's own words.
"""

from __future__ import annotations

import argparse
import random
import time

from warehouse import DEPARTMENTS, Known, warehouse

from sqlcoder_magic.models.embedding import open_embedder
from sqlcoder_magic.schema import select_tables
from sqlcoder_magic.types import Schema

BUDGET = 4_000  # tokens
OTHER_WORDS = {
    "region": "part of the country", "store": "branch", "salesperson": "rep",
    "customer": "client", "order": "purchase", "invoice": "bill", "payment": "money received",
    "refund": "reimbursement", "carrier": "haulier", "warehouse": "depot", "vehicle": "truck",
    "shipment": "consignment", "package": "parcel", "delivery": "drop-off",
    "return": "goods sent back", "inspection": "check", "division": "business unit",
    "department": "section", "employee": "worker", "contract": "agreement",
    "absence": "sick leave", "training": "course taken", "review": "appraisal", "salary": "wage",
    "ledger": "book of entries", "account": "bank balance", "budget": "planned spending",
    "transaction": "booking of money", "transfer": "wire", "loan": "credit",
    "interest": "yield", "audit": "examination of the books", "channel": "medium",
    "campaign": "promotion", "segment": "target group", "advertisement": "commercial",
    "click": "tap on a banner", "visit": "session on the site", "lead": "prospect",
    "conversion": "sign-up", "team": "crew", "agent": "helper", "queue": "waiting line",
    "ticket": "problem report", "message": "reply", "attachment": "enclosed file",
    "rating": "stars given", "escalation": "case passed upwards", "factory": "plant",
    "line": "assembly belt", "machine": "piece of equipment", "recipe": "formula",
    "batch": "lot", "sensor": "probe", "reading": "measurement", "defect": "fault",
    "category": "kind", "supplier": "vendor", "contact": "person to call",
    "quotation": "offer", "purchase": "acquisition", "receipt": "proof of acceptance",
    "claim": "complaint", "settlement": "final agreement", "grid": "power network",
    "station": "substation", "meter": "counter in the house", "tariff": "price plan",
    "consumption": "kilowatt hours used", "outage": "blackout", "repair": "fix",
    "forecast": "prediction", "hospital": "clinic", "ward": "floor with beds",
    "physician": "doctor", "patient": "sick person", "appointment": "consultation",
    "diagnosis": "illness found", "prescription": "medicine on paper", "dose": "pill taken",
    "school": "college", "course": "class", "teacher": "instructor", "student": "pupil",
    "enrollment": "registration", "exam": "test", "grade": "mark", "certificate": "diploma",
    "airline": "flying company", "airport": "terminal with runways", "aircraft": "plane",
    "flight": "trip by air", "passenger": "traveller", "booking": "reservation",
    "luggage": "suitcase",
}  # fmt: skip


def reworded(tables: int, seed: int = 1) -> tuple[Schema, list[Known]]:
    """The warehouse, and 200 questions about pairs of neighbours in other words."""
    rng = random.Random(seed)
    schema, _ = warehouse(tables)
    names = [table.full_name for table in schema.tables]
    asked = []
    while len(asked) < 200:
        at = rng.randrange(len(names) - 1)
        table, after = schema.tables[at], schema.tables[at + 1]
        if not any(key.other_table == names[at] for key in after.foreign_keys):
            continue
        # The columns tell what a table is about, whatever it is called.
        one, other = (t.columns[1].name.removesuffix("_name") for t in (table, after))
        place = names[at].split("_")[0] if "_" in names[at] else _place(names[at])
        text = (
            f"For each {OTHER_WORDS[one]} in {place}, how often was there a {OTHER_WORDS[other]}?"
        )
        asked.append(Known(text, frozenset({names[at], names[at + 1]})))
    return schema, asked


def _place(name: str) -> str:
    found = [name.index(d.title()) for d in DEPARTMENTS if d.title() in name]
    return name[: min(found)]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--tables", type=int, default=1_000)
    options = parser.parse_args()
    embedder = open_embedder(options.model)
    schema, other_words = reworded(options.tables)
    began = time.perf_counter()
    embedder.ranked(schema, "anything")
    print(f"{options.tables:,} tables embedded in {time.perf_counter() - began:.1f} s")
    for name, questions in (
        ("other words", other_words),
        ("own words", warehouse(options.tables)[1]),
    ):
        found = {"words": 0, "both": 0}
        needed = sum(len(known.needed) for known in questions)
        spent = 0.0
        for known in questions:
            began = time.perf_counter()
            nearest = embedder.ranked(schema, known.question)
            spent += time.perf_counter() - began
            for how in found:
                similar = (lambda _, found=nearest: found) if how == "both" else None
                chosen = select_tables(schema, known.question, max_tokens=BUDGET, similar=similar)
                found[how] += len(known.needed & {t.full_name for t in chosen.tables})
        line = ", ".join(f"{how} {number / needed:.1%}" for how, number in found.items())
        print(
            f"{name}: recall by {line}; embedding a question {1000 * spent / len(questions):.0f} ms"
        )


if __name__ == "__main__":
    main()
