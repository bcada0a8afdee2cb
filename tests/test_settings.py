"""Options: parsed as a user types them, refused with a sentence, and all of them documented."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.settings import Settings, options_table, parse_line, setting_values, usage

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("line", "options", "rest"),
    [
        ("", {}, ""),
        ("how many sales?", {}, "how many sales?"),
        ("-r how many -n of them?", {"run": True}, "how many -n of them?"),
        ("-r -n 5 what's new?", {"run": True, "row_limit": 5}, "what's new?"),
        ("--limit=7", {"row_limit": 7}, ""),
        ("-o df --timeout 2.5", {"into": "df", "timeout_s": 2.5}, ""),
        ("-c sqlite:///a.db  q", {"connection": "sqlite:///a.db"}, "q"),
        ("--tables 'a, b' q", {"tables": "a, b"}, "q"),
        ("--tables a, b, c q", {"tables": "a,b,c"}, "q"),
        ("--frames a, b -r", {"frames": "a,b", "run": True}, ""),
        ("--frames a, -r q", {"frames": "a,", "run": True}, "q"),
        ("--instructions a, b", {"instructions": "a,"}, "b"),
        ('--instructions "say = so" q', {"instructions": "say = so"}, "q"),
        ("--no-cell", {"insert_cell": False}, ""),
        ("--explain q", {"explain": True}, "q"),
        ("--allow-function 'net, vat' q", {"allowed_functions": "net, vat"}, "q"),
        ("--allow-unverified-engine q", {"allow_unverified_engine": True}, "q"),
        ("--quantization 4bit --beams 4", {"quantization": "4bit", "beams": 4}, ""),
        (
            "--replace --show-prompt --debug",
            {"replace": True, "show_prompt": True, "debug": True},
            "",
        ),
    ],
)
def test_lines(line: str, options: dict[str, object], rest: str) -> None:
    parsed, left = parse_line(line)
    given = {name: value for name, value in parsed.items() if value is not None}
    assert (given, left) == (options, rest)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("--nope", "no option --nope"),
        ("-x q", "no option -x"),
        ("--lim 5", "no option --lim"),
        ("-r -r", "given twice"),
        ("-n", "needs a value"),
        ("-n five", "--limit takes a whole number, not 'five'"),
        ("-n 1e9", "--limit takes a whole number, not '1e9'"),
        ("--run=yes", "--run takes no value"),
        ("--quantization 3bit", "cannot be '3bit'"),
        ("-n -1", "cannot be -1"),
        ("-n 0", "cannot be 0"),
        ("--limit 99999999999", "cannot be 99999999999"),
        ("--timeout 0", "cannot be 0"),
        ("--timeout -5", "cannot be -5"),
        ("--timeout nan", "cannot be nan"),
        ("--timeout inf", "cannot be inf"),
        ("--beams 99", "cannot be 99"),
    ],
)
def test_bad_lines_are_sentences(line: str, text: str) -> None:
    with pytest.raises(OptionError) as caught:
        Settings().with_values(setting_values(parse_line(line)[0]))
    assert text in caught.value.message
    assert caught.value.fix


def test_values_of_the_wrong_kind() -> None:
    for values in ({"row_limit": "5"}, {"run": 1}, {"row_limit": True}, {"timeout_s": "x"}):
        with pytest.raises(OptionError, match="takes"):
            Settings().with_values(values)
    with pytest.raises(OptionError, match="no setting called 'rows'"):
        Settings().with_values({"rows": 5})


def test_every_option_is_documented_as_it_is() -> None:
    page = (ROOT / "docs" / "options.md").read_text("utf-8")
    assert options_table() in page
    for item in fields(Settings):
        assert f"`{item.name}`" in page


def test_usage_names_every_flag() -> None:
    text = usage()
    for flag in ("-c, --connection", "-r, --run", "-o, --into", "-n, --limit", "--no-cell"):
        assert flag in text


def test_tables_are_split() -> None:
    assert Settings(tables=" a, b ,").table_names == ("a", "b")
    assert Settings().table_names is None
