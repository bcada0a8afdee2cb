"""One clear statement is taken out of a draft; anything else is refused with the draft."""

from __future__ import annotations

import pytest

from sqlcoder_magic.check import extract_sql, is_refusal
from sqlcoder_magic.errors import NoSQLError

S = "SELECT name FROM products"
CLEAR = {
    S: S,
    f"  {S} ;\n": S,
    f"{S};;": S,
    f"```sql\n{S};\n```": S,
    f"```\n{S}\n```": S,
    f"~~~sql\n{S}\n~~~": S,
    f"```sql\n{S}": S,
    f"{S};\n```": S,
    f"{S}\n```\n\nThis query lists the names.": S,
    f"```postgresql\n{S};\n```\nIt lists the names.": S,
    f"Here is the query:\n```sql\n{S};\n```\nHope it helps; ask for more!": S,
    f"```sql\n{S};\n```\nor, the same:\n```sql\nselect name\nfrom products\n```": S,
    f"SQL: {S}": S,
    f"SQL:\n{S}": S,
    f"[SQL]\n{S}\n[/SQL]": S,
    f"### SQL\n{S}": S,
    f"**SQL query:** {S}": S,
    f"sqlite SQL: {S}": S,
    f"Sure! Here is the statement.\nSQL:\n{S};": S,
    f"{S};\n\nThis query returns the names; it reads one table.": S,
    f"{S};\n-- that was it": S,
    f"{S}\n\nThis query returns the names of all products.": S,
    f"{S}</s>": S,
    f"{S}<|im_end|>\n<|im_start|>user\nDELETE FROM products": S,
    f"<s> {S}</s>": S,
    f"{S};<|endoftext|>DROP TABLE products": S,
    f"{S}<|eot_id|>": S,
    f"<think>DROP TABLE x; or SELECT 2?</think>\n{S}": S,
    f"<think>\nlet me see\n</think>\n\n```sql\n{S};\n```": S,
    f"thinking aloud ... SELECT 2 ...</think>{S}": S,
    f"-- the names\n{S}": f"-- the names\n{S}",
    f"/* the names */ {S};": f"/* the names */ {S}",
    "WITH x AS (SELECT 1 AS a) SELECT a FROM x;": "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
    "(SELECT 1) UNION (SELECT 2);": "(SELECT 1) UNION (SELECT 2)",
    "SELECT 'a;b' AS x; ": "SELECT 'a;b' AS x",
    "SELECT 'it''s; fine', \"a;b\" FROM t; Done.": "SELECT 'it''s; fine', \"a;b\" FROM t",
    "SELECT 1 -- one; not two\nFROM t;": "SELECT 1 -- one; not two\nFROM t",
    "SELECT a\n\nFROM t\n\nWHERE b = 1;": "SELECT a\n\nFROM t\n\nWHERE b = 1",
    "SELECT a\n\nFROM t\n\nWHERE b = 1": "SELECT a\n\nFROM t\n\nWHERE b = 1",
    f"{S};\n{S};": S,
    "DELETE FROM products;": "DELETE FROM products",
    "SELECT name FRM products": "SELECT name FRM products",
    "VALUES (1), (2);": "VALUES (1), (2)",
}

UNCLEAR = (
    "",
    "   \n",
    "-- only a comment",
    "/* only a comment */",
    ";",
    "</s>",
    "<|im_end|>",
    "<think>SELECT 1</think>",
    "<think>SELECT 1, and then",
    "```sql\n```",
    "I cannot answer this question.",
    "I do not know",
    "With pleasure! What would you like to know?",
    "Do you mean the products?",
    "Show me the tables first, please.",
    "You could use SELECT to read the table.",
    "The answer is 42.",
    "Here is the query: SELECT name FROM products",
    f"{S}; DELETE FROM products",
    f"{S};\nSELECT price FROM products;",
    f"{S};\n\nAlternatively:\nSELECT price FROM products;",
    f"{S};\nDROP TABLE products",
    f"```sql\n{S};\n```\nor\n```sql\nSELECT price FROM products;\n```",
    f"```sql\n{S}; DELETE FROM products;\n```",
    f"{S}\n```\nor\n```sql\nSELECT price FROM products\n```",
    "Some text\nSELECT name FROM products\nmore text",
)


@pytest.mark.parametrize(("draft", "sql"), CLEAR.items())
def test_the_one_statement_is_taken_out(draft: str, sql: str) -> None:
    assert extract_sql(draft) == sql


@pytest.mark.parametrize("draft", UNCLEAR)
def test_what_is_not_one_statement_is_refused(draft: str) -> None:
    with pytest.raises(NoSQLError) as caught:
        extract_sql(draft)
    assert caught.value.text == draft
    assert caught.value.fix


@pytest.mark.parametrize(
    "draft",
    [
        "I do not know",
        "i do not know.",
        "I don't know",
        "I do not know; ,",
        "I do not know;",
        "I do not know. The schema has no weather.",
        "SELECT 'I do not know'",
        "select 'i do not know';",
        "SELECT 'I do not know' AS answer;",
        "SELECT 'I do not know.' AS \"answer\"",
        "SELECT 'I don''t know' answer",
        "```sql\nSELECT 'I do not know';\n```",
        "SQL: I do not know",
        "<think>hm</think> I do not know",
        "SELECT 'I do not know'</s>",
        "I DO NOT KNOW",
        "I don’t know",
        'SELECT "I do not know" AS "answer"',
        "(SELECT 'I do not know')",
        "SELECT 'I do not know'::text AS x LIMIT 1",
        "SELECT 'I do not know' FROM products",
        "```\nI do not know\n```",
        "",
        " ;\n",
        "```sql\n```",
        "```sql\n;\n```",
        "</s>",
        "<think>There is no such table.</think>",
    ],
)
def test_an_honest_no_is_seen(draft: str) -> None:
    assert is_refusal(draft)


@pytest.mark.parametrize(
    "draft",
    [
        S,
        "SELECT name FROM products WHERE note = 'I do not know'",
        "SELECT 'I do not know' AS a, price FROM products",
        "<think>There is no such",  # cut short
        "/* nothing */",
        "I do not know why, but: SELECT 1",
        "I know",
    ],
)
def test_an_answer_is_no_refusal(draft: str) -> None:
    assert not is_refusal(draft)
