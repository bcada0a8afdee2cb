"""A generated warehouse of any size, and questions whose needed tables are known.

Each country has each department, each department its entities, named as warehouses name
things: abbreviated, prefixed, in snake or camel case, commented on here and there. A question
asks about two entities of one department; what it needs are their tables and those between
them. Made from a seed: the same size gives the same warehouse. It stands in for no real one;
it shows whether ranking, abbreviations and foreign-key paths work at size.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

COUNTRIES = (
    "germany france spain italy poland austria norway sweden denmark finland ireland portugal "
    "greece hungary romania bulgaria croatia slovenia estonia latvia japan korea india brazil "
    "chile peru mexico canada egypt kenya"
)
# department -> entities; an entity refers to the one before it: paths grow along the line
DEPARTMENTS = {
    "sales": "region store salesperson customer order invoice payment refund",
    "logistics": "carrier warehouse vehicle shipment package delivery return inspection",
    "hr": "division department employee contract absence training review salary",
    "finance": "ledger account budget transaction transfer loan interest audit",
    "marketing": "channel campaign segment advertisement click visit lead conversion",
    "support": "team agent queue ticket message attachment rating escalation",
    "production": "factory line machine recipe batch sensor reading defect",
    "purchasing": "category supplier contact quotation purchase receipt claim settlement",
    "energy": "grid station meter tariff consumption outage repair forecast",
    "health": "hospital ward physician patient appointment diagnosis prescription dose",
    "education": "school course teacher student enrollment exam grade certificate",
    "travel": "airline airport aircraft flight passenger booking ticket luggage",
}
SHORT = {
    "customer": "cust", "order": "ord", "invoice": "inv", "payment": "pmt", "transaction": "txn",
    "department": "dept", "employee": "emp", "account": "acct", "warehouse": "whse",
    "supplier": "supp", "category": "cat", "message": "msg", "region": "reg",
}  # fmt: skip
ATTRIBUTES = "status amount quantity created_at updated_by description priority score"


@dataclass(frozen=True)
class Known:
    """A question and the full names of the tables that an answer needs."""

    question: str
    needed: frozenset[str]


def warehouse(tables: int, seed: int = 0) -> tuple[Schema, list[Known]]:
    """A schema of so many tables, and 200 questions about it."""
    rng = random.Random(seed)
    made: list[Table] = []
    lines: list[tuple[str, str, list[str], list[str]]] = []
    version = 1
    while len(made) < tables:
        for country in COUNTRIES.split():
            for department, entities in DEPARTMENTS.items():
                place = country if version == 1 else f"{country}{version}"
                named = _named(place, department, entities.split(), rng)
                made += _tables(named, entities.split(), rng)
                lines.append((place, department, entities.split(), named))
        version += 1
    made = made[:tables]
    known = {table.full_name for table in made}
    whole = [line for line in lines if known.issuperset(line[3])]
    return Schema("postgres", tuple(made)), [_question(rng.choice(whole), rng) for _ in range(200)]


def _named(place: str, department: str, entities: list[str], rng: random.Random) -> list[str]:
    camel = rng.random() < 0.3
    names = []
    for entity in entities:
        short = SHORT.get(entity, entity) if rng.random() < 0.5 else entity
        if camel:
            names.append(f"{place}{department.title()}{short.title()}s")
        else:
            names.append(f"{place}_{department}_{short}")
    return names


def _tables(names: list[str], entities: list[str], rng: random.Random) -> list[Table]:
    made = []
    for position, (name, entity) in enumerate(zip(names, entities, strict=True)):
        columns = [Column("id", "bigint", False), Column(f"{entity}_name", "text", True)]
        columns += [Column(a, "text", True) for a in rng.sample(ATTRIBUTES.split(), 6)]
        keys: tuple[ForeignKey, ...] = ()
        if position:
            before = entities[position - 1]
            columns.append(Column(f"{before}_id", "bigint", True))
            keys = (ForeignKey((f"{before}_id",), names[position - 1], ("id",)),)
        comment = f"one row for each {entity}" if rng.random() < 0.3 else ""
        made.append(Table(name, "", tuple(columns), ("id",), keys, comment))
    return made


def _question(line: tuple[str, str, list[str], list[str]], rng: random.Random) -> Known:
    place, department, entities, names = line
    first = rng.randrange(len(entities) - 2)
    last = min(first + rng.choice([1, 1, 2]), len(entities) - 1)
    one, other = entities[first], entities[last]
    text = rng.choice(
        [
            f"How many {_many(other)} does each {one} in {place} {department} have?",
            f"Show the total amount of {_many(other)} by {one} for {place} ({department})",
            f"Which {one} of {department} in {place} has the most {_many(other)}?",
        ]
    )
    return Known(text, frozenset(names[first : last + 1]))


def _many(entity: str) -> str:
    if entity.endswith("y"):
        return entity[:-1] + "ies"
    return entity + ("es" if entity.endswith(("s", "ch")) else "s")
