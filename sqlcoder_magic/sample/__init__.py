"""The sample databases: a shop and a clinic, built at first use, with questions about them."""

from __future__ import annotations

from pathlib import Path

from sqlcoder_magic.sample.build import database_path
from sqlcoder_magic.sample.clinic import CLINIC
from sqlcoder_magic.sample.questions import (
    DEMO_QUESTIONS,
    QUESTIONS,
    SampleQuestion,
    is_right,
    path_of,
)
from sqlcoder_magic.sample.shop import SHOP

__all__ = [
    "DEMO_QUESTIONS",
    "QUESTIONS",
    "SampleQuestion",
    "clinic_path",
    "is_right",
    "path_of",
    "sample_path",
]


def sample_path() -> Path:
    """The SQLite file of the sample shop, built now if it is not in the cache yet."""
    return database_path(SHOP)


def clinic_path() -> Path:
    """The SQLite file of the sample clinic, built now if it is not in the cache yet."""
    return database_path(CLINIC)
