"""The grammar that a server gets: what may be written here may be written there, and no other
statement, table or column.

Two readers judge it, so that no quirk of one decides: llguidance, which is vLLM's guidance
backend, through its own translation of GBNF; and a plain recogniser of GBNF in this file, which
tries every way, as llama.cpp and xgrammar do.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from test_constrain import END, SHOP, constraint, table

from sqlcoder_magic.models import served_grammar
from sqlcoder_magic.models.catalog import WEIGHTS
from sqlcoder_magic.models.constrain import Grammar, Guide
from sqlcoder_magic.models.names import RESERVED
from sqlcoder_magic.models.served_grammar import gbnf
from sqlcoder_magic.sample import QUESTIONS, path_of
from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.types import Schema, Table

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*")|(?P<letters>\[(?:\\.|[^\]\\])*\])"""
    r"""|(?P<times>\{\d+(?:,\d+)?\}|[?*+])|(?P<name>[a-zA-Z0-9-]+)|(?P<sign>[()|]))"""
)


class Recogniser:
    """GBNF, read and followed in every way that it leaves open."""

    def __init__(self, text: str) -> None:
        self.rules = {
            name: self._parsed(body)
            for name, body in (line.split(" ::= ", 1) for line in text.splitlines())
        }

    def _parsed(self, body: str) -> Any:
        found, at = [], 0
        while at < len(body):
            match = _TOKEN.match(body, at)
            assert match, f"no GBNF: {body[at : at + 40]!r}"
            found.append((match.lastgroup, match[0].strip()))
            at = match.end()
        node, rest = self._either(found)
        assert not rest
        return node

    def _either(self, tokens: list[Any]) -> tuple[Any, list[Any]]:
        ways, items = [], []
        while tokens and tokens[0] != ("sign", ")"):
            (kind, text), tokens = tokens[0], tokens[1:]
            if kind == "times":
                least, most = {"?": (0, 1), "*": (0, None), "+": (1, None)}.get(text) or [
                    int(number) for number in (text[1:-1].split(",") * 2)[:2]
                ]
                items[-1] = ("times", items[-1], least, most)
            elif text == "|":
                ways.append(("all", items))
                items = []
            elif text == "(":
                inner, tokens = self._either(tokens)
                assert tokens, "a parenthesis stays open"
                items.append(inner)
                tokens = tokens[1:]
            elif kind == "text":
                items.append((kind, json.loads(re.sub(r"\\x(..)", r"\\u00\1", text))))
            else:
                items.append((kind, text if kind == "name" else re.compile(text)))
        return ("either", [*ways, ("all", items)]), tokens

    def accepts(self, text: str) -> bool:
        @cache
        def called(name: str, at: int) -> frozenset[int]:
            return frozenset(ends(self.rules[name], at))

        def ends(node: Any, at: int) -> set[int]:
            """Where the node may end, if it begins at `at`."""
            kind = node[0]
            if kind == "text":
                return {at + len(node[1])} if text.startswith(node[1], at) else set()
            if kind == "letters":
                return {at + 1} if node[1].match(text, at) else set()
            if kind == "name":
                return set(called(node[1], at))
            if kind == "either":
                return set().union(*(ends(way, at) for way in node[1]))
            if kind == "all":
                places = {at}
                for item in node[1]:
                    places = set().union(*(ends(item, place) for place in places))
                return places
            _, item, least, most = node
            found, places, count = ({at} if least == 0 else set()), {at}, 0
            while places and count != most:
                places = set().union(*(ends(item, place) for place in places)) - found
                count += 1
                found |= places if count >= least else set()
            return found

        return len(text) in called("root", 0)


class Guidance:
    """vLLM's guidance backend, as far as it reads a grammar."""

    def __init__(self, text: str, tokens: Any) -> None:
        from llguidance import LLMatcher, grammar_from

        self.tokens = tokens
        self.matcher = LLMatcher(tokens, grammar_from("grammar", text), log_level=0)
        assert not self.matcher.is_error(), self.matcher.get_error()

    def accepts(self, text: str) -> bool:
        matcher, tokens = self.matcher.deep_copy(), self.tokens.tokenize_str(text)
        if matcher.validate_tokens(tokens) < len(tokens):
            return False
        return bool(matcher.consume_tokens(tokens) and matcher.is_accepting())


@pytest.fixture(scope="module")
def ours() -> Grammar:
    return Grammar((WEIGHTS / "tokenizer.json").read_text("utf-8"), [END], 49_152)


def readers(schema: Schema, ours: Grammar) -> tuple[Recogniser, Guidance]:
    text = gbnf(constraint(schema).catalog)
    return Recogniser(text), Guidance(text, ours.tokens)


@pytest.fixture(scope="module")
def shop(ours: Grammar) -> tuple[Recogniser, Guidance]:
    return readers(SHOP, ours)


def test_every_known_answer_can_be_written(ours: Grammar) -> None:
    for db in ("shop", "clinic"):
        asked = [question for question in QUESTIONS if question.db == db]
        both = readers(read_schema(f"sqlite:///{path_of(asked[0])}"), ours)
        for question in asked:
            for sql in question.sql:
                assert [one.accepts(sql) for one in both] == [True, True], question.id


RIGHT = (
    "I do not know",
    "I do not know.",
    "select count(*) from sales;",
    "\nSELECT sales.sale_id FROM sales\n```",
    "SELECT customers.city, c.city FROM customers, customers AS c",
    'SELECT "name", "Zip Code" FROM customers AS c WHERE c."Zip Code" = \'a; b\'',
    "SELECT name FROM products WHERE name ILIKE '%it''s; x%'",
    "SELECT o.date, DATE '2024-01-01' FROM web.orders AS o ORDER BY o.date DESC NULLS LAST",
    'SELECT "group", COUNT(*) FROM web.orders GROUP BY "group"',
    "SELECT name, price::numeric(10,2) FROM products ORDER BY price DESC LIMIT 3 ;",
    "SELECT city AS town, COUNT(*) AS n FROM customers GROUP BY town ORDER BY n DESC",
    "WITH a AS (SELECT name, price * 2 AS dear FROM products), b AS (SELECT dear FROM a) "
    "SELECT a.dear, name FROM a JOIN b ON a.dear = b.dear WHERE a.dear > 3 ORDER BY b.dear",
    "SELECT t.name FROM (SELECT price AS n, name FROM products) AS t WHERE t.n > 3 ORDER BY t.n",
    "SELECT c.name FROM customers c JOIN (SELECT customer_id, COUNT(*) AS n FROM sales "
    "GROUP BY customer_id) AS s ON s.customer_id = c.customer_id AND s.n > 2",
    "SELECT name FROM customers AS c WHERE EXISTS "
    "(SELECT 1 FROM sales AS s WHERE s.customer_id = c.customer_id AND quantity > 3)",
    "SELECT city FROM customers UNION ALL SELECT name FROM products",
    "SELECT name, RANK() OVER (PARTITION BY city ORDER BY name DESC) AS place FROM customers",
    "SELECT SUM(quantity) OVER (ORDER BY sold_on ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) "
    "FROM sales",
    "SELECT EXTRACT(YEAR FROM sold_on::date) AS year, COUNT(*) FROM sales GROUP BY year",
    "SELECT * FROM sales JOIN products USING (product_id) LEFT JOIN customers ON TRUE",
    "SELECT CASE WHEN price > 3 THEN 'a' ELSE 'b' END AS band FROM products",
    "WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 9) "
    "SELECT up.n FROM up",
    "SELECT name FROM products JOIN (VALUES (1, 'a'), (2, 'b')) AS v (id, label) ON v.id = price",
    "SELECT c.name FROM customers AS c CROSS JOIN LATERAL "
    "(SELECT quantity FROM sales WHERE sales.customer_id = c.customer_id) AS s",
)
HOSTILE = (
    "DELETE FROM sales",
    "INSERT INTO sales SELECT * FROM sales",
    "UPDATE sales SET quantity = 1",
    "DROP TABLE sales",
    "SELECT name INTO x FROM products",
    "SELECT name FROM products FOR UPDATE",
    "SELECT name FROM products; DROP TABLE products",
    "SELECT name FROM products -- x",
    "SELECT 1--1",
    "WITH gone AS (DELETE FROM sales RETURNING *) SELECT * FROM gone",
    "SELECT name FROM clients",
    "SELECT date FROM orders",  # it is web.orders
    "SELECT * FROM pg_catalog.pg_shadow",
    "WITH a AS (SELECT name FROM clients) SELECT name FROM a",
    "SELECT name FROM products JOIN (SELECT name FROM clients) AS t ON TRUE",
    "WITH a AS (SELECT name FROM products) SELECT usename FROM pg_catalog.pg_shadow",
    "SELECT nationality FROM customers",
    "SELECT c.nationality FROM customers AS c",
    "SELECT customers.price FROM customers",
    "SELECT name FROM products WHERE nationality = 'x'",
    "SELECT name FROM products WHERE t.n = 1",  # no subquery in FROM that could have made n
    "SELECT name FROM products AS select",
    "SELECT name FROM products WHERE",
    "SELECT name FROMproducts",
    "SELECT pg_sleep(9)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT ZIP FROM customers",
    "I do not know; DROP TABLE sales",
    "",
)


@pytest.mark.parametrize("sql", RIGHT)
def test_right_queries_can_be_written(shop: tuple[Recogniser, Guidance], sql: str) -> None:
    assert [one.accepts(sql) for one in shop] == [True, True]


@pytest.mark.parametrize("sql", HOSTILE)
def test_others_cannot(shop: tuple[Recogniser, Guidance], sql: str) -> None:
    assert [one.accepts(sql) for one in shop] == [False, False]


LEXEMES = (
    "SELECT; FROM; WHERE; GROUP BY; HAVING; ORDER BY; LIMIT 3; DESC; AS n; AS T1; AS c; JOIN; ON;"
    " LEFT JOIN; USING (product_id); UNION; DISTINCT; *; ,; (; ); (SELECT; COUNT(*); SUM(;"
    " COALESCE(; CASE WHEN; THEN; ELSE; END; AND; OR; NOT; IN; BETWEEN; IS NULL; =; >; +; 3;"
    " 'a''b'; name; price; stock; city; quantity; n; sold_on; T1.; c.; T1.name; products.price;"
    " sales.quantity; products; sales; customers; web.orders; OVER (; PARTITION BY; ::date; EXISTS;"
    " DATE '2024-01-01'; EXTRACT(YEAR FROM; \"Zip Code\"; WITH a AS (SELECT; FROM a; a.name"
).split(";")


def wandered(ours: Grammar, seed: int) -> str | None:
    """What comes of words chosen at random, each that the constraint of this process lets through;
    None if it came to no end."""
    chance = random.Random(seed)
    guide, text = Guide(ours, constraint(SHOP)), ""
    (space,) = ours.tokens.tokenize_str(" ")
    for _ in range(40):
        first = (")", "END", "FROM") if chance.random() < 0.7 else ()  # else it never closes
        for lexeme in (*first, *chance.sample(LEXEMES, 30)):
            more = lexeme if text[-1:] in ("(", ".") or not text else f" {lexeme.strip()}"
            longer = guide.copy()
            for token in ours.tokens.tokenize_str(more):
                if not longer.allows(token):
                    break
                longer.accept(token)
            else:
                if longer.allows(space) or longer.allows(END):  # not half of a longer word
                    guide, text = longer, text + more
                    break
        if chance.random() < 0.5 and guide.allows(END):
            return text
    return None


def test_whatever_may_be_written_here_may_be_written_there(
    ours: Grammar, shop: tuple[Recogniser, Guidance]
) -> None:
    ended = {sql for seed in range(100) if (sql := wandered(ours, seed))}
    assert len(ended) >= 12
    for sql in ended:
        assert [one.accepts(sql) for one in shop] == [True, True], sql


def test_names_of_any_kind_are_only_names(ours: Grammar) -> None:
    odd = [
        'say "hi"',
        "back\\slash",
        "new\nline",
        "größe 名前",
        "a]b[c",
        "select",
        "x ::= y",
        "tail\\",
    ]
    schema = Schema("postgres", (table('t"1', ",".join(odd)), table("Ünï", "id")))
    for one in readers(schema, ours):
        for name in odd:
            quoted = '"' + name.replace('"', '""') + '"'
            assert one.accepts(f'SELECT {quoted} FROM "t""1"'), name
        assert one.accepts('SELECT id FROM "Ünï"')
        assert not one.accepts('SELECT "say hi" FROM "t""1"')
        assert not one.accepts('SELECT select FROM "t""1"')


def test_a_table_without_columns_and_names_that_begin_alike(ours: Grammar) -> None:
    alike = ",".join("a" * length for length in range(1, 60))
    schema = Schema("postgres", (table("t", alike), table("u", "a"), Table("v", "", (), (), ())))
    for one in readers(schema, ours):
        assert one.accepts(f"SELECT {'a' * 59}, {'a' * 7} FROM t")
        assert not one.accepts(f"SELECT {'a' * 60} FROM t")


def test_a_new_name_is_no_word_of_sql() -> None:
    one = Recogniser(gbnf(constraint(SHOP).catalog))
    one.rules["root"] = one.rules["new"]
    for word in RESERVED:
        assert not one.accepts(word) and not one.accepts(word.upper())
        assert not one.accepts(word.capitalize())
        assert one.accepts(word + "s" if word + "s" not in RESERVED else word + "_x")
        assert one.accepts(word[:-1]) is (len(word) > 1 and word[:-1] not in RESERVED)
    assert one.accepts("T1") and one.accepts("_x9") and one.accepts('"a ""b"""')
    assert not one.accepts("9x") and not one.accepts("a-b") and not one.accepts("")


def rules_of(text: str) -> Iterator[tuple[str, str]]:
    yield from (line.split(" ::= ", 1) for line in text.splitlines())  # type: ignore[misc]


def test_llama_cpp_and_xgrammar_can_read_it() -> None:
    """Limits of theirs that neither reader here has: letters of names, and of escapes."""
    text = gbnf(constraint(SHOP).catalog)
    names = [name for name, _ in rules_of(text)]
    assert names[0] == "root" and len(names) == len(set(names))
    assert "start" not in names  # guidance would take the text for Lark
    for name, body in rules_of(text):
        assert re.fullmatch(r"[a-z][a-z0-9-]*", name) and name not in ("true", "false")
        outside = re.sub(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]', "", body)
        assert set(re.findall(r"[a-z0-9-]{2,}", re.sub(r"\{.*?\}", "", outside))) <= set(names)
        assert set(re.findall(r"\\(.)", body)) <= set('x"\\nt')
        assert all(int(most) <= 200 for most in re.findall(r",(\d+)\}", outside))


def test_a_string_has_no_limit_to_count() -> None:
    """xgrammar's masks took twice as long with one, in every string that a model writes."""
    strings = dict(rules_of(gbnf(constraint(SHOP).catalog)))["t-string"]
    assert "*" in strings and "{" not in strings


def test_ways_that_begin_with_the_same_rule_are_written_as_one() -> None:
    """llama.cpp follows every open way: ten that begin with a value, in ten, in ten, stop it."""
    text = (Path(served_grammar.__file__).parent / "sql.lark").read_text("utf-8")
    rules = dict(re.findall(r"^([a-z]+): (.*(?:\n[ \t]+.*)*)", text, re.M))
    assert {"query", "expr", "pred", "tail", "primary", "over"} <= rules.keys()
    for name, body in rules.items():
        plain = re.sub(r'"[^"]*"', "QUOTED", body)
        while "(" in plain:  # alternatives in groups stand behind what they share
            plain = re.sub(r"\([^()]*\)", "GROUP", plain)
        first = [way.split()[0].rstrip("?*+") for way in plain.split("|")]
        shared = [word for word in first if word.islower()]
        assert len(set(shared)) == len(shared), name
