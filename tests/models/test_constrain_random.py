"""Drafts of models that know nothing: none gets stuck, all parse, and every name is where it is.

The names are judged by sqlglot's tree and a scoping written here, apart from the constraint's own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cache

import pytest
import sqlglot
from sqlglot import exp
from test_constrain import END, SHOP, constraint, grammar, table

from sqlcoder_magic.models.constrain import Grammar, Guide
from sqlcoder_magic.types import Schema, Table

__all__ = ["grammar"]  # a fixture
VOCABULARY = 49_152
Sources = Mapping[str, frozenset[str]]

SCHEMAS = {
    "shop": SHOP,
    "one column": Schema("sqlite", (table("t", "a"),)),
    "odd letters": Schema(
        "postgres",
        (
            table("Order Details", 'Unit Price,Größe,a"b,%'),
            table("Größe", "id,Name,naïve"),
            table("Straße", "id,日本,x y"),
        ),
    ),
    "beginnings": Schema(
        "sqlite",
        (
            table("a", "a,ab,abc,abcd"),
            table("ab", "a,ab_,ab_c"),
            table("abc", "abcde,inn,order_id,ors"),
            table("selects", "from_,whereabouts,as_of,groups"),
        ),
    ),
    "keywords": Schema(
        "sqlite",
        (
            table("select", "from,where,group,order,by"),
            table("table", "join,on,as,and,or"),
            table("count", "sum,date,case,end,interval,time,timestamp"),
        ),
    ),
    "namespaces": Schema(
        "duckdb",
        (
            table("sales", "id,n,t1", "shop.main"),
            table("items", "id,label", "shop.main"),
            table("sales", "id,other", "shop.old"),
        ),
    ),
    "capitals": Schema(
        "snowflake", (table("SALES", "ID,AMOUNT,name"), table("Mixed", "Id,AMOUNT"))
    ),
    "many": Schema(
        "postgres", tuple(table(f"table_{n}", f"id,name_{n},price_{n},at") for n in range(200))
    ),
}
LIKED = (
    "SELECT FROM WHERE JOIN ON AS AND OR IN NOT LIKE BETWEEN IS NULL GROUP BY ORDER DESC HAVING "
    "COUNT SUM MAX ( ) , . = > ' 3 T 1 2 UNION EXCEPT WITH CASE WHEN THEN END LATERAL VALUES * \""
)
CLOSING = {")": 400, " END": 350, "SELECT": 320, " SELECT": 320, " FROM": 300} | {
    " THEN": 200,
    " WHEN": 190,
    " JOIN": 150,
    " ON": 140,
    " AS": 120,
    "1": 100,
    " BY": 85,
    " T": 80,
    ",": 10,
}


def written(grammar: Grammar, schema: Schema, seed: int, *, knowing: bool) -> tuple[str, bool]:
    """What a model of no sense writes, and whether it came to an end in 200 tokens.

    One that is `knowing` likes the words of SQL and of the schema. From some token on both would
    like to come to an end. A dead end fails the test.
    """
    import torch

    generator, guide = torch.Generator().manual_seed(seed), Guide(grammar, constraint(schema))
    enough, tokens, text = random.Random(seed).randrange(5, 30), list[int](), ""
    liking, closing = torch.zeros(VOCABULARY), torch.zeros(VOCABULARY)
    for word in [*LIKED.split(), *names_of(schema)] if knowing else []:
        liking[grammar.tokens.tokenize_str(f" {word}")[0]] = 6.0
        liking[grammar.tokens.tokenize_str(word)[0]] = 6.0
    closing[opening(grammar)] -= 300.0
    closing[END] = 1000.0
    for word, much in CLOSING.items():
        closing[grammar.tokens.tokenize_str(word)[0]] = much
    for word in names_of(schema):
        closing[grammar.tokens.tokenize_str(word)[0]] = 30.0
    for step in range(200):
        scores = torch.randn(VOCABULARY, generator=generator) + liking
        if step > enough:
            scores += closing
            if opened := open_quote(text):
                scores[grammar.tokens.tokenize_str(opened)[0]] += 900.0
        token = guide.best(scores)
        assert token is not None, f"no way on from {text!r}"
        if token == END:
            return text.strip(), True
        guide.accept(token)
        tokens.append(token)
        for forced in guide.forced():
            guide.accept(forced)
            tokens.append(forced)
        text = grammar.tokens.decode_str(tokens)
    return text, False


@cache
def opening(grammar: Grammar) -> list[int]:
    """The tokens that open a parenthesis, and white space of which no end is in sight."""
    texts = ((token, grammar.text(token)) for token in range(VOCABULARY))
    return [token for token, text in texts if "(" in text or (len(text) > 1 and text.isspace())]


def names_of(schema: Schema) -> Iterator[str]:
    for one in schema.tables[:5]:
        yield from (one.name, *(column.name for column in one.columns))


def open_quote(text: str) -> str:
    """The quotes that are open at the end, if any."""
    opened = ""
    for letter in text:
        if letter in "'\"" and opened in ("", letter):
            opened = "" if opened else letter
    return opened


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_draft_goes_on_and_names_what_exists(grammar: Grammar, name: str) -> None:
    schema, ended = SCHEMAS[name], 0
    for seed in range(4):
        sql, end = written(grammar, schema, seed, knowing=seed % 2 == 0)
        if end and not sql.startswith("I do not know"):
            ended += 1
            assert list(problems(sql.rstrip("`;"), schema)) == [], sql
    assert ended


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT T1.name FROM sales AS T1", "T1.name: its source lacks it"),
        ("SELECT x.name FROM products AS y", "x.name: nothing is called so"),
        ("SELECT city FROM products", "city: no source has it"),
        ("SELECT 1 FROM clients", "clients: no such table"),
        ("SELECT c.name FROM customers c, (SELECT c.city FROM sales) AS x", "nothing is called so"),
        ("SELECT name FROM products GROUP BY n", "n: no source has it"),
    ],
)
def test_the_judge_of_these_tests_sees_wrong_names(sql: str, expected: str) -> None:
    assert expected in "; ".join(problems(sql, SHOP))


# ---------------------------------------------------------------- the judge


def problems(sql: str, schema: Schema) -> Iterator[str]:
    """What is wrong with the names of a query."""
    (tree,) = sqlglot.parse(sql, read="postgres")
    assert isinstance(tree, exp.Query), sql
    tables = {path(one, schema): columns(one) for one in schema.tables}
    yield from Judge(tables).query(tree, {}, [])[1]


def path(one: Table, schema: Schema) -> tuple[str, ...]:
    spaces = one.namespace.split(".", 1) if schema.dialect == "duckdb" else [one.namespace]
    return tuple(part.lower() for part in (*filter(None, spaces), one.name))


def columns(one: Table) -> frozenset[str]:
    return frozenset(column.name.lower() for column in one.columns)


Found = tuple[frozenset[str], list[str]]  # the columns put out, and what is wrong


class Judge:
    """Goes through a query with what is in sight: CTEs, and the sources of the queries around."""

    def __init__(self, tables: Mapping[tuple[str, ...], frozenset[str]]) -> None:
        self.tables = tables

    def query(self, node: exp.Expression, ctes: Sources, outer: list[Sources]) -> Found:
        wrong: list[str] = []
        known = dict(ctes)
        for cte in node.ctes if isinstance(node, exp.Query) else ():
            listed = frozenset(one.name.lower() for one in cte.args["alias"].columns)
            inner = known
            if listed:
                inner = {**known, cte.alias.lower(): listed}
            elif isinstance(cte.this, exp.SetOperation):  # WITH RECURSIVE
                first = self.query(cte.this.left, known, [])[0]
                inner = {**known, cte.alias.lower(): first}
            put, bad = self.query(cte.this, inner, [])
            wrong += bad
            known[cte.alias.lower()] = listed or put
        if isinstance(node, exp.Subquery):
            put, bad = self.query(node.this, known, outer)
        elif isinstance(node, exp.SetOperation):
            put, bad = self.query(node.left, known, outer)
            bad += self.query(node.right, known, outer)[1]
        else:
            return self.select(node, known, outer, wrong)
        if order := node.args.get("order"):
            bad += self.names(order, [{"": put}, *outer], known, put)
        return put, wrong + bad

    def select(
        self, node: exp.Expression, ctes: Sources, outer: list[Sources], wrong: list[str]
    ) -> Found:
        here: dict[str, frozenset[str]] = {}
        start = node.args.get("from_") or node.args.get("from")
        joins = node.args.get("joins") or []
        for item in [*([start] if start else []), *joins]:
            wrong += self.source(item.this, ctes, outer, here)
            if on := item.args.get("on"):
                wrong += self.names(on, [here, *outer], ctes, frozenset())
            for name in item.args.get("using") or []:
                if sum(name.name.lower() in one for one in here.values()) < 2:
                    wrong.append(f"{name.sql()}: not in both")
        put: set[str] = set()
        for item in node.expressions:
            if isinstance(item, exp.Star):
                put = put.union(*here.values())
            elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
                put |= here.get(item.table.lower(), frozenset())
                wrong += [] if item.table.lower() in here else [f"{item.sql()}: nothing"]
            else:
                wrong += self.names(item, [here, *outer], ctes, frozenset())
                put.add(item.alias_or_name.lower())
        for clause in ("where", "group", "having", "order"):
            made = frozenset() if clause == "where" else frozenset(put)
            if inside := node.args.get(clause):
                wrong += self.names(inside, [here, *outer], ctes, made)
        return frozenset(put), wrong

    def source(
        self,
        node: exp.Expression,
        ctes: Sources,
        outer: list[Sources],
        here: dict[str, frozenset[str]],
    ) -> list[str]:
        wrong: list[str] = []
        if isinstance(node, exp.Table):
            parts = tuple(part.name.lower() for part in node.parts)
            found = ctes.get(parts[0]) if len(parts) == 1 else None
            found = self.tables.get(parts) if found is None else found
            wrong = [] if found is not None else [f"{node.name}: no such table"]
        elif isinstance(node, exp.Lateral):
            found, wrong = self.query(node.this, ctes, [here, *outer])
        elif isinstance(node, exp.Values):
            found = frozenset()
        else:
            found, wrong = self.query(node, ctes, outer)
        listed = node.args.get("alias")
        if listed and listed.args.get("columns"):
            found = frozenset(one.name.lower() for one in listed.columns)
        name = node.alias_or_name.lower()
        wrong += [f"{name}: twice"] if name in here else []
        here[name] = found or frozenset()
        return wrong

    def names(
        self, node: exp.Expression, levels: list[Sources], ctes: Sources, made: frozenset[str]
    ) -> list[str]:
        """The columns in an expression, those of subqueries with their own sources."""
        if isinstance(node, exp.Query) and not isinstance(node, exp.Table):
            return self.query(node, ctes, levels)[1]
        if not isinstance(node, exp.Column):
            return [
                bad
                for one in node.iter_expressions()
                for bad in self.names(one, levels, ctes, made)
            ]
        name, owner = node.name.lower(), node.table.lower()
        if not owner:
            seen = made.union(*(one for level in levels for one in level.values()))
            return [] if name in seen else [f"{node.sql()}: no source has it"]
        found = next((level[owner] for level in levels if owner in level), None)
        if found is None:
            return [f"{node.sql()}: nothing is called so"]
        return [] if name in found else [f"{node.sql()}: its source lacks it"]
