"""D. Models that are not there, and models that write nonsense. Numbers are table rows.

Rows covered: no weights (49), pickles (51), a run that fails or never ends (57), Ctrl-C (59),
prose and fences (61), nothing (63), invented names (65). Too little memory (53)
and missing bitsandbytes (55) are in `tests/models`; a real Ctrl-C in a kernel is in
`tests/notebook`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bad_input_helpers import Shop, Told

from sqlcoder_magic import FakeModel, Settings, ask
from sqlcoder_magic.errors import (
    GenerationError,
    ModelError,
    ModelLoadError,
    ModelNotFoundError,
    NoSQLError,
    SQLRejected,
    Stopped,
)
from sqlcoder_magic.models import current_model
from sqlcoder_magic.models.files import Checkpoint
from sqlcoder_magic.models.fit import memory_error
from sqlcoder_magic.models.opening import _end_tokens
from sqlcoder_magic.types import Draft

COUNT = "SELECT COUNT(*) AS n FROM sales"


# ---------------------------------------------------------------- 49, 51: what is loaded


def refused(shop: Shop, name: str, told: Told, kind: type[ModelError]) -> str:
    before = current_model()
    with pytest.raises(kind) as caught:
        ask("How many?", shop.connection, settings=Settings(model=name))
    assert current_model() is before  # a wrong name costs nobody the model that is loaded
    return told(caught.value)


@pytest.mark.parametrize(
    "name", ["/no/such", "~no_such_user/model", "./nowhere", "nothing", "x" * 300, "a/b/c", "~"]
)
def test_49_a_model_that_is_not_there(
    shop: Shop, name: str, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # `~`: a directory, but of no model
    text = refused(shop, name, told, ModelNotFoundError)
    assert name[:20].removeprefix("./").removeprefix("~") in text
    assert len(text) < 400


def test_49_a_directory_without_weights(shop: Shop, told: Told, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("weights elsewhere")
    text = refused(shop, str(tmp_path), told, ModelNotFoundError)
    assert str(tmp_path) in text and "config.json and *.safetensors" in text
    assert "nothing was downloaded" in text


def test_49_a_hub_name_without_a_network(shop: Shop, told: Told) -> None:
    text = refused(shop, "defog/sqlcoder-7b-2", told, ModelNotFoundError)
    assert "not on this disk" in text and "sqlcoder-tiny" in text


def test_51_pickles_are_refused_with_the_reason(shop: Shop, told: Told, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    text = refused(shop, str(tmp_path), told, ModelNotFoundError)
    assert "run code" in text and "safetensors" in text


@pytest.mark.parametrize("content", ["{", "[]", "", '{"no": "type"}', "\x00"])
def test_damaged_config(shop: Shop, told: Told, tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    text = refused(shop, str(tmp_path), told, ModelLoadError)
    assert "config.json" in text and "download it again" in text


@pytest.mark.parametrize("content", ["{", "[1, 2]", "7", "\x00"])
def test_damaged_generation_config(told: Told, tmp_path: Path, content: str) -> None:
    (tmp_path / "generation_config.json").write_text(content)

    class Tokens:
        def token_to_id(self, token: str) -> None:
            return None

    checkpoint = Checkpoint(tmp_path, [], json.loads("{}"), bundled=False)
    with pytest.raises(ModelLoadError) as caught:
        _end_tokens(checkpoint, Tokens())
    assert "generation_config.json is damaged" in told(caught.value)


def test_57_a_failure_inside_the_network_is_a_sentence(told: Told) -> None:
    error = memory_error(RuntimeError("CUDA error: an illegal\nmemory access"), "cuda")
    assert isinstance(error, GenerationError)
    assert "CUDA error: an illegal memory access" in told(error)


# ---------------------------------------------------------------- 57, 59: writing


class Looping(FakeModel):
    """Repeats itself until a limit stops it."""

    def generate(self, *args: object, **kwargs: object) -> Draft:  # type: ignore[override]
        return Draft("SELECT id, id, id, id", "fake", 9, 300, 120.0, 0.1, finished=False)


def test_57_a_loop_is_shown_and_not_run(shop: Shop, told: Told) -> None:
    with pytest.raises(GenerationError) as caught:
        ask("How many?", shop.connection, Looping(), run=True)
    text = told(caught.value)
    assert "300 tokens and 120 s" in text and "SELECT id, id" in text and "max_new_tokens" in text
    assert caught.value.text == "SELECT id, id, id, id"


def test_59_ctrl_c_leaves_the_model_usable(shop: Shop, told: Told) -> None:
    model = FakeModel([KeyboardInterrupt(), COUNT])
    with pytest.raises(Stopped) as caught:
        ask("How many?", shop.connection, model, run=True)
    assert "Nothing was run" in told(caught.value)
    assert ask("How many?", shop.connection, model, run=True).frame is not None


# ---------------------------------------------------------------- 61 to 65: what is written


@pytest.mark.parametrize(
    "reply",
    [
        COUNT,
        f"{COUNT};",
        f"```sql\n{COUNT}\n```",
        f"Here you are:\n```\n{COUNT};\n```\nIt counts the sales.",
        f"```sql\n{COUNT}\n```\nor, the same:\n```sql\n{COUNT.lower()}\n```",
        f"SQL: {COUNT}",
        f"### SQL\n{COUNT}",
        f"[SQL]\n{COUNT}\n[/SQL]",
        f"<think>SELECT id FROM sales? No.</think>\n{COUNT}",
        f"{COUNT};\n\nThis query counts the rows of sales. SELECT reads, DROP would not.",
        f"{COUNT}\n\nThis query counts all sales.",
        f"{COUNT}</s><s>[INST]DROP TABLE sales",
        f"{COUNT}<|im_end|>\nDROP TABLE sales",
        f"{COUNT}; -- DROP TABLE sales",
    ],
)
def test_61_one_clear_statement_is_taken_out(shop: Shop, reply: str) -> None:
    answer = ask("How many?", shop.connection, FakeModel([reply]), run=True)
    assert re.sub(r"\s+", " ", answer.sql).lower() == COUNT.lower()
    assert answer.frame is not None and answer.frame.iloc[0, 0] == 3


@pytest.mark.parametrize(
    "reply",
    [
        "Sure! I can help with that.",
        "Selecting the sales is easy.",
        "With pleasure.",
        f"Here is the query: {COUNT}",
        f"You could write {COUNT} or drop it.",
        f"```sql\n{COUNT}\n```\n```sql\nSELECT COUNT(*) AS n FROM customers\n```",
        f"{COUNT}; SELECT 2",
        f"{COUNT}; DROP TABLE sales",
        "BEGIN; DELETE FROM sales; COMMIT",
        "<think>let me see",
        "LISTEN sales",
        "NULL",
        "0",
    ],
)
def test_61_anything_else_is_shown_and_not_run(shop: Shop, reply: str, told: Told) -> None:
    before = shop.content()
    with pytest.raises(NoSQLError) as caught:
        ask("How many?", shop.connection, FakeModel([reply]), run=True)
    text = told(caught.value)
    assert reply.splitlines()[0] in text and caught.value.text == reply
    assert "wrote no SQL." not in text  # some of it is SQL; what is missing is one clear statement
    assert shop.content() == before


@pytest.mark.parametrize("reply", ["", " \n", "</s>", "<|im_end|>", ";"])
def test_63_nothing_is_an_honest_no(shop: Shop, reply: str) -> None:
    answer = ask("How many?", shop.connection, FakeModel([reply]), run=True)
    assert answer.refused and answer.frame is None
    assert "It has " in answer.notes[-1] or "Nearest" in answer.notes[-1]


@pytest.mark.parametrize("reply", ["-- I think", "/* x */"])
def test_63_only_a_comment_is_a_sentence(shop: Shop, reply: str, told: Told) -> None:
    with pytest.raises(NoSQLError) as caught:
        ask("How many?", shop.connection, FakeModel([reply]), run=True)
    assert "The model wrote no" in told(caught.value)


@pytest.mark.parametrize(
    ("reply", "rule", "near"),
    [
        ("SELECT * FROM sale", "tables", "`sales`"),
        ("SELECT * FROM customer c", "tables", "`customers`"),
        ("SELECT * FROM nowhere.sales", "tables", "`sales`"),
        ("SELECT citty FROM sales", "columns", "`city`"),
        ("SELECT s.citty FROM sales s", "columns", "`city`"),
        ("SELECT c.city FROM customers c", "columns", "`sales` has a column city"),
        ("SELECT x.city FROM sales s", "columns", "In sight: `s`"),
        ("SELECT uper(city) FROM sales", "functions", "upper"),
    ],
)
def test_65_invented_names_name_the_real_ones(
    shop: Shop, reply: str, rule: str, near: str, told: Told
) -> None:
    given = Settings(run=True, repair=False)
    answer = ask("How many?", shop.connection, FakeModel([reply]), settings=given)
    assert isinstance(answer.error, SQLRejected) and answer.error.rule == rule
    assert near in told(answer.error)
    assert answer.sql == reply and answer.frame is None


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        ("SELECT city FROM sale", "`sale` → `sales`"),
        ("SELECT s.citty FROM sales s", "`s.citty` → `sales.city`"),
        ("SELECT x.city FROM sales s", "`x` is `s`"),
    ],
)
def test_65_what_can_only_mean_one_name_is_mended_and_told(
    shop: Shop, reply: str, note: str
) -> None:
    answer = ask("Cities?", shop.connection, FakeModel([reply]), run=True)
    assert answer.error is None and answer.frame is not None and note in answer.notes
    assert answer.frame.columns.tolist() == ["city"]


@pytest.mark.parametrize("name", ["version", "read_csv", "dblink", "getenv", "pg_read_file"])
def test_65_no_function_is_suggested_that_is_merely_not_far(
    shop: Shop, name: str, told: Told
) -> None:
    answer = ask("How many?", shop.connection, FakeModel([f"SELECT {name}('x')"]), run=True)
    assert isinstance(answer.error, SQLRejected) and "Did you mean" not in told(answer.error)


@pytest.mark.parametrize(
    "reply",
    [
        "SELECT FROM WHERE",
        "SELECT * FROM",
        "WITH x AS",
        "(((((SELECT 1",
        "SELECT * FROM sales WHERE city = 'O'Brien'",
        "SELECT " + "(" * 500 + "1" + ")" * 500,
        "SELECT " + "1," * 20_000 + "1",
        "SELECT '\udce4' AS a",
        "SELECT 'a\x00b' AS a",
        "SELECT city FROM sales WHERE id = $1",
        "SELECT city FROM sales WHERE id = ?",
        "SELECT city FROM sales WHERE id = :id",
    ],
)
def test_sql_that_does_not_parse_is_a_sentence(shop: Shop, reply: str, told: Told) -> None:
    answer = ask("How many?", shop.connection, FakeModel([reply]), run=True)
    text = told(answer.error)
    assert answer.frame is None and answer.sql
    assert "Token" not in text.replace("Unexpected token", "") and "sqlglot" not in text
