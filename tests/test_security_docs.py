"""docs/security.md names tests as its proof: each of them is there, and every engine has one."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
CODE = re.findall(r"`([^`\n]+)`", PAGE)
PLACES = sorted({c for c in CODE if c.startswith(("tests/", "benchmarks/"))})
SCRIPTS = sorted({c.split()[1] for c in CODE if c.startswith("python benchmarks/")})
TESTS = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


def test_the_page_names_its_proofs() -> None:
    assert len(PLACES) > 20
    assert len(SCRIPTS) >= 3


@pytest.mark.parametrize("place", PLACES)
def test_every_place_named_is_there(place: str) -> None:
    path, _, test = place.partition("::")
    found = sorted(ROOT.glob(path.rstrip("/"))) if "*" in path else [ROOT / path]
    assert found and all(one.exists() for one in found)
    if test:
        assert re.search(rf"^def {test}\(", found[0].read_text("utf-8"), re.M), place


@pytest.mark.parametrize("name", sorted({c for c in CODE if re.fullmatch(r"test_\w+", c)}))
def test_every_test_named_alone_is_there(name: str) -> None:
    assert re.search(rf"^def {name}\(", TESTS, re.M), name


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_named_is_there(script: str) -> None:
    assert (ROOT / script).exists()


@pytest.mark.parametrize("guard", sorted((ROOT / "tests" / "execute").glob("test_*_guard.py")))
def test_every_guards_tests_are_named(guard: Path) -> None:
    if guard.name != "test_warehouse_guard.py":
        assert guard.name in PAGE


def test_the_figures_of_the_blind_spots_are_those_of_the_tests() -> None:
    """The table says how many there are on each engine; the tests know."""
    path = ROOT / "tests" / "execute" / "test_blind_spots.py"
    spec = importlib.util.spec_from_file_location("blind_spots", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    row = next(line for line in PAGE.splitlines() if "test_it_harms_and_is_refused" in line)
    order = ("sqlite", "postgres", "duckdb", "mariadb")
    assert [int(cell) for cell in row.split("|")[2:6]] == [len(module.SPOTS[n]) for n in order]
