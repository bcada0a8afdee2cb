"""The docs tell the truth: every option and command is on a page, every linked file is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sqlcoder_magic.commands import HELP
from sqlcoder_magic.models.catalog import CATALOG

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs" / "options.md").read_text("utf-8")
    for command in HELP:
        assert f"`%sqlcoder {command}" in page


def test_the_readme_names_every_model() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for entry in CATALOG:
        assert (entry.repo or entry.name) in text


def test_the_readmes_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"(?:^|`)make (\w+)", (ROOT / "README.md").read_text("utf-8"), re.M):
        assert re.search(rf"^{target}:", makefile, re.M), f"make {target}"


def test_weights_are_small_enough_for_a_repository() -> None:
    for path in (ROOT / "sqlcoder_magic" / "weights").iterdir():
        assert path.stat().st_size < 50_000_000, path.name


def test_the_version_is_stated_once() -> None:
    import sqlcoder_magic

    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'version = "{sqlcoder_magic.__version__}"' in project
