"""Constrained drafts: what is right passes, what is not cannot be written, whatever the model."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from sqlcoder_magic.models import open_model
from sqlcoder_magic.models.catalog import WEIGHTS
from sqlcoder_magic.models.constrain import Constraint, Grammar, Guide
from sqlcoder_magic.models.local import LocalModel
from sqlcoder_magic.prompt import build_prompt, quote_name
from sqlcoder_magic.sample import QUESTIONS, path_of
from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.types import Column, Prompt, PromptPart, Question, Schema, Table

END = 2
Make = Callable[[str], Path]


def table(name: str, columns: str, namespace: str = "") -> Table:
    found = tuple(Column(one, "TEXT", nullable=True) for one in columns.split(","))
    return Table(name, namespace, found, (), ())


SHOP = Schema(
    "postgres",
    (
        table("products", "product_id,name,price,stock"),
        table("sales", "sale_id,product_id,customer_id,sold_on,quantity"),
        table("customers", "customer_id,name,city,Zip Code"),
        table("orders", "id,date,group", "web"),
    ),
)


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return Grammar((WEIGHTS / "tokenizer.json").read_text("utf-8"), [END], 49_152)


def constraint(schema: Schema) -> Constraint:
    return Constraint.of(schema, lambda name: quote_name(name, schema.dialect))


def refused(grammar: Grammar, schema: Schema, sql: str) -> str:
    """Where `sql` is stopped, token by token; nothing if all of it may be written."""
    guide = Guide(grammar, constraint(schema))
    tokens = grammar.tokens.tokenize_str(sql)
    for at, token in enumerate(tokens):
        if not guide.allows(token):
            return f"{grammar.tokens.decode_str(tokens[:at])}▲{grammar.tokens.decode_str([token])}"
        guide.accept(token)
    return "" if guide.allows(END) else f"{sql}▲"


def test_every_known_answer_can_be_written(grammar: Grammar) -> None:
    schemas = {one.db: read_schema(f"sqlite:///{path_of(one)}") for one in QUESTIONS}
    for question in QUESTIONS:
        for sql in question.sql:
            assert refused(grammar, schemas[question.db], sql) == "", question.id


@pytest.mark.parametrize(
    "sql",
    [
        "I do not know",
        "select count(*) from sales;",
        "SELECT sales.sale_id FROM sales",
        "SELECT s.quantity FROM sales s",
        'SELECT "name", "Zip Code" FROM customers AS c WHERE c."Zip Code" = \'a; b\'',
        "SELECT name FROM products WHERE name ILIKE '%it''s; x%'",
        "SELECT o.date, DATE '2024-01-01' FROM web.orders AS o ORDER BY o.date DESC NULLS LAST",
        'SELECT "group", COUNT(*) FROM web.orders GROUP BY "group"',
        "WITH a AS (SELECT name, price * 2 AS dear FROM products) "
        "SELECT a.dear, name FROM a WHERE dear > 3 ORDER BY dear",
        "SELECT name FROM customers AS c WHERE EXISTS "
        "(SELECT 1 FROM sales AS s WHERE s.customer_id = c.customer_id AND quantity > 3)",
        "SELECT c.name, (SELECT COUNT(*) FROM sales AS s WHERE s.customer_id = c.customer_id) AS n "
        "FROM customers AS c ORDER BY n DESC LIMIT 3",
        "SELECT T2.name FROM sales AS T1 JOIN products AS T2 ON T1.product_id = T2.product_id",
        "SELECT a.name, b.name FROM products AS a JOIN products AS b ON a.price < b.price",
        "SELECT MAX(n) FROM (SELECT price AS n, name FROM products) AS t WHERE t.n > 1",
        "SELECT city FROM customers UNION ALL SELECT name FROM products",
        "SELECT name, RANK() OVER (PARTITION BY city ORDER BY name DESC) AS place FROM customers",
        "SELECT SUM(quantity) OVER (ORDER BY sold_on ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) "
        "FROM sales",
        "SELECT EXTRACT(YEAR FROM sold_on::date) AS year, COUNT(*) FROM sales GROUP BY year",
        "SELECT * FROM sales JOIN products USING (product_id)",
        "SELECT CASE WHEN price > 3 THEN 'a' ELSE 'b' END AS band, "
        "COUNT(*) FILTER (WHERE price > 1) FROM products GROUP BY band HAVING COUNT(*) > 2",
        "SELECT CAST(price AS DOUBLE PRECISION), price::numeric(10,2), -price FROM products",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) "
        "SELECT i, n.i FROM n",
        "WITH RECURSIVE c AS (SELECT customer_id AS id FROM customers UNION SELECT s.customer_id "
        "FROM sales AS s JOIN c ON c.id = s.customer_id) SELECT COUNT(*) FROM c",
        "SELECT COUNT(*) FROM (VALUES (1, 'x'), (2, 'y')) AS t(a, b) WHERE t.a > 1 AND b = 'x'",
        "SELECT c.name FROM customers AS c JOIN LATERAL (SELECT s.quantity FROM sales AS s "
        "WHERE s.customer_id = c.customer_id LIMIT 1) AS x ON TRUE",
        "(SELECT name FROM products) UNION ALL (SELECT city FROM customers) ORDER BY name LIMIT 3",
        "SELECT web.orders.id FROM web.orders WHERE web.orders.date > '2'",
        "SELECT REPLACE(REPLACE(REPLACE(name, 'a', ''), 'b', ''), 'c', '') FROM products",
        "SELECT name FROM products WHERE price BETWEEN 1 AND 2 AND stock BETWEEN 1 AND 2",
        "SELECT COALESCE(SUM(quantity), 0) * 1.0 / NULLIF(COUNT(DISTINCT customer_id), 0)\n"
        "FROM sales WHERE sold_on >= CURRENT_DATE - INTERVAL '7 days'\n  AND quantity IN (1, 2)",
    ],
)
def test_right_queries_can_be_written(grammar: Grammar, sql: str) -> None:
    # The one query whose select list names a derived table's new column before that table exists:
    expected = "SELECT MAX(n▲" if "MAX(n)" in sql else ""
    assert refused(grammar, SHOP, sql).startswith(expected)
    assert bool(refused(grammar, SHOP, sql)) is bool(expected)


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("SELECT nationality FROM customers", "SELECT▲ nationality"),
        ("SELECT name FROM clients", "FROM▲ clients"),
        ("SELECT s.price FROM sales AS s", "AS s▲"),  # FROM must go on to a table that has it
        ("SELECT price FROM sales", "FROM sales▲"),
        ("SELECT s.sale_id FROM sales AS s WHERE s.price > 1", "s.▲price"),
        ("SELECT name FROM products ORDER BY city", "BY▲ city"),
        ("SELECT T1.price, T1.city FROM products AS T1", "T1.▲city"),
        ("SELECT sales.quantity FROM sales AS s", "FROM sales▲ AS"),
        ("SELECT date FROM orders", "FROM▲ orders"),  # it is web.orders
        ("DELETE FROM sales", "▲DELETE"),
        ("SELECT name INTO x FROM products", "name▲ IN"),
        ("SELECT name FROM products; DROP TABLE products", ";▲ DROP"),
        ("SELECT pg_sleep(9)", "▲"),
        ("SELECT 1--1", "1▲--"),
        ("SELECT name FROMproducts", "FROM▲products"),
        ("SELECT ZIP FROM customers", "▲"),
        (
            "SELECT c.name FROM customers AS c JOIN (SELECT s.quantity FROM sales AS s WHERE "
            "s.customer_id = c.customer_id) AS x ON TRUE",
            "s.customer_id = c▲",
        ),  # not LATERAL
        ("SELECT name FROM products UNION SELECT city FROM customers ORDER BY city", "ORDER BY▲"),
        ("(SELECT name FROM products) ORDER BY price", "ORDER BY▲"),
        ("SELECT products.name FROM products AS p JOIN products ON TRUE", "FROM products▲"),
        ("SELECT s.quantity FROM sales AS s WHERE sales.quantity > 1", "WHERE▲"),
        ('SELECT "name""price" FROM products', 'SELECT "name▲'),
    ],
)
def test_wrong_queries_are_stopped_where_they_go_wrong(
    grammar: Grammar, sql: str, where: str
) -> None:
    assert where.split("▲")[0] in (found := refused(grammar, SHOP, sql)) and "▲" in found


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        # An alias that was used has to come, and T1 comes first, T2 second.
        ("SELECT T1.price FROM sales AS T2", "FROM▲ sales"),
        ("SELECT T2.city FROM sales AS T1 JOIN products AS T3 ON TRUE JOIN products", "JOIN▲ pro"),
        (
            "SELECT T2.city FROM sales AS T1 JOIN products AS T3 ON TRUE JOIN customers AS T4",
            "AS T▲4",
        ),
        (
            "SELECT city FROM sales JOIN products ON TRUE AND TRUE AND FALSE AND 1 = 2 AND TRUE",
            "1 = 2▲ AND",
        ),
        # What was said twice is not said a third time.
        (
            "SELECT name FROM products WHERE price > 1 AND stock > 1 AND stock > 1 AND stock > 1",
            "stock > 1▲ AND",
        ),
        ("SELECT LOWER(LOWER(LOWER(name))) FROM products", "LOWER(LOWER(LOWER▲("),
        ("SELECT 1 FROM sales WHERE 1 = (SELECT 1 FROM sales WHERE 1 = (SELECT 1", "= (▲SELECT"),
        # What stands in the place of a clause that may not come yet is no alias.
        ("SELECT city FROM sales GROU", "FROM sales▲ G"),
    ],
)
def test_a_draft_comes_to_its_end(grammar: Grammar, sql: str, where: str) -> None:
    assert where in refused(grammar, SHOP, sql)


# Words that even this model has seen; without them it would write gibberish aliases only.
LIKED = (
    "SELECT, name, price, stock, city, quantity FROM products JOIN sales customers AS WHERE ON "
    "AND > = 3 GROUP BY ORDER DESC LIMIT COUNT SUM MAX (* ) ) '"
)


def written_at_random(grammar: Grammar, schema: Schema, seed: int) -> str | None:
    """What a model of no knowledge at all writes in 60 tokens; None if it came to no end."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    guide, tokens = Guide(grammar, constraint(schema)), []
    liking = torch.zeros(49_152)
    for word in LIKED.split():
        liking[grammar.tokens.tokenize_str(" " + word)[0]] = 6.0
    for step in range(60):
        liking[END] = 4.0 + step / 4
        scores = torch.randn(49_152, generator=generator) + liking
        token = guide.best(scores)
        if token is None:
            return None  # a dead end: nothing comes of it
        if token == END:
            return grammar.tokens.decode_str(tokens).strip()
        guide.accept(token)
        tokens.append(token)
        for forced in guide.forced():
            guide.accept(forced)
            tokens.append(forced)
    return None


def test_whatever_the_model_the_sql_parses_and_names_what_exists(grammar: Grammar) -> None:
    ended = [sql for seed in range(40) if (sql := written_at_random(grammar, SHOP, seed))]
    assert len(ended) >= 5
    columns = {c.name.lower() for one in SHOP.tables for c in one.columns}
    for sql in ended:
        if sql.startswith("I do not know"):
            continue
        (tree,) = sqlglot.parse(sql.rstrip("`").rstrip(";"), read="postgres")
        assert isinstance(tree, exp.Query), sql
        named = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
        made = {one.alias.lower() for one in tree.find_all(exp.Alias)}
        for source in tree.find_all(exp.Table):
            known = {one.name for one in SHOP.tables} | named
            assert source.name.lower() in known, sql
        for column in tree.find_all(exp.Column):
            if not isinstance(column.this, exp.Star):
                assert column.name.lower() in columns | made, (sql, column.sql())


@pytest.mark.parametrize("architecture", ["gpt_bigcode", "llama", "mistral"])
@pytest.mark.parametrize("way", ["greedy", "beams", "samples"])
def test_a_random_model_keeps_to_the_schema(checkpoint: Make, architecture: str, way: str) -> None:
    model = open_model(str(checkpoint(architecture)), quantization="fp32")
    options = {"greedy": {}, "beams": {"beams": 2}, "samples": {"samples": 2}}[way]
    draft = model.generate(
        Prompt("x", (), 0, (PromptPart("x"),)),
        max_new_tokens=12,
        timeout_s=120,
        constraint=constraint(SHOP),
        **options,
    )
    assert isinstance(model, LocalModel) and model._grammar is not None
    texts = [text for text, _ in draft.candidates] or [draft.text]
    for text in texts:
        assert refused(model._grammar, SHOP, text.rstrip("\ufffd")).rstrip("▲") in ("", text)


@pytest.mark.parametrize("beams", [1, 2])
def test_a_model_that_is_right_writes_the_same(beams: int) -> None:
    model = open_model(None)
    schema = read_schema("sample")
    assert model.spec.template is not None
    for question in ("How many customers live in Chicago?", "What are the names of all products?"):
        asked = build_prompt(Question(question), schema, template=model.spec.template)
        free = model.generate(asked, max_new_tokens=60, timeout_s=120, beams=beams)
        held = model.generate(
            asked,
            max_new_tokens=60,
            timeout_s=120,
            beams=beams,
            constraint=constraint(schema),
        )
        assert (held.text, held.finished) == (free.text, True)


def test_a_name_that_can_go_on_one_way_is_filled_in(grammar: Grammar) -> None:
    guide = Guide(grammar, constraint(SHOP))
    for token in grammar.tokens.tokenize_str("SELECT name FROM cust"):
        guide.accept(token)
    assert grammar.tokens.decode_str(guide.forced()) == "omers"
    for token in [*guide.forced(), *grammar.tokens.tokenize_str(" AS c WHERE c.n")]:
        guide.accept(token)
    assert grammar.tokens.decode_str(guide.forced()) == "ame"


def test_names_of_thousands_of_tables_are_told_apart(grammar: Grammar) -> None:
    tables = tuple(table(f"t_{n}", f"id,value_{n}") for n in range(2500))
    schema = replace(SHOP, tables=tables)
    assert refused(grammar, schema, "SELECT t_7.value_7 FROM t_7") == ""
    assert refused(grammar, schema, "SELECT value_2499 FROM t_2499 WHERE id > 3") == ""
    numbers = random.Random(3).sample(range(2500), 2)
    wrong = f"SELECT x.id FROM t_{numbers[0]} AS x WHERE x.value_{numbers[1]} = 1"
    assert "▲" in refused(grammar, schema, wrong)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_struck_out_at_once_is_what_asking_one_by_one_refuses(
    grammar: Grammar, seed: int
) -> None:
    """At every place of a query, with 60 likely tokens, most of them of the schema and of SQL."""
    import torch

    rng = random.Random(seed)
    names = (name for one in SHOP.tables for name in (one.name, *(c.name for c in one.columns)))
    words = [*map(str, names), *LIKED.split(), *"t1 T2 . , ( ) ; = 'x 12 p. s. products.".split()]
    near = {t for word in words for t in grammar.tokens.tokenize_str(word)}
    near |= {t for word in words for t in grammar.tokens.tokenize_str(" " + word)}
    done: list[int] = []
    hard = 0
    for token in grammar.tokens.tokenize_str(
        "SELECT p.name, SUM(s.quantity) AS sold FROM products AS p JOIN sales AS s "
        "ON p.product_id = s.product_id WHERE p.price > 3 GROUP BY p.name"
    ):
        likely = [*rng.sample(sorted(near), 50), *rng.sample(range(3, 49_000), 10)]
        scores = torch.full((49_152,), -torch.inf)
        scores[likely] = torch.rand(60, generator=torch.Generator().manual_seed(len(done)))
        guides = [Guide(grammar, constraint(SHOP)) for _ in range(2)]
        for guide in guides:
            for one in done:
                guide.accept(one)
        by_score = sorted(set(likely), key=lambda one: -float(scores[one]))
        allowed = [one for one in by_score if guides[0].allows(one)]
        assert guides[1].ranked(scores, 2) == allowed[:2]
        hard += not allowed or by_score.index(allowed[0]) > 12
        done.append(token)
    assert hard > 3  # places where more than a dozen are refused before one is taken
