"""A school with declared keys, a link table and a table that refers to another twice."""

from __future__ import annotations

import sqlite3

from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

_TABLES: dict[str, tuple[str, tuple[str, ...], tuple[tuple[str, str, str], ...]]] = {
    "Student": ("StuID, LName, Fname, Age, Major, city_code", ("StuID",), ()),
    "Has_Pet": (
        "StuID, PetID",
        ("StuID", "PetID"),
        (("StuID", "Student", "StuID"), ("PetID", "Pets", "PetID")),
    ),
    "Pets": ("PetID, PetType, pet_age, weight", ("PetID",), ()),
    "Friend": (
        "student_id, friend_id",
        ("student_id", "friend_id"),
        (("student_id", "Student", "StuID"), ("friend_id", "Student", "StuID")),
    ),
    "Visit": (
        "visit_id, PetID, visit_date, clinic_code, cost",
        ("visit_id",),
        (("PetID", "Pets", "PetID"), ("clinic_code", "Clinic", "clinic_code")),
    ),
    "Clinic": ("clinic_code, clinic_name, town", ("clinic_code",), ()),
}
_SAMPLES = {"PetType": ("cat", "Dog"), "Fname": ("Ann", "Mary Lou"), "Major": ("600", "520")}
_COMMENTS = {"cost": "fee", "town": "location"}
ROWS = {
    "Student": [(1, "Lee", "Ann", 20, "600", "BAL"), (2, "Ray", "Bo", 22, "520", "NYC"),
                (3, "Fox", "Cy", 19, "600", "BAL"), (4, "Kim", "Mary Lou", 25, "550", "PIT")],
    "Has_Pet": [(1, 10), (1, 11), (2, 12), (3, 13)],
    "Pets": [(10, "cat", 3, 9.5), (11, "Dog", 1, 20.0), (12, "Dog", 5, 31.5), (13, "cat", 2, 4.0)],
    "Friend": [(1, 2), (1, 3), (2, 4), (3, 1)],
    "Visit": [(100, 10, "2024-01-05", "A", 40), (101, 11, "2024-02-07", "B", 55),
              (102, 12, "2024-02-09", "A", 70)],
    "Clinic": [("A", "Paws", "Baltimore"), ("B", "Claws", "Boston")],
}  # fmt: skip


def school(dialect: str = "sqlite") -> Schema:
    """The school in a dialect."""
    return Schema(dialect, tuple(_table(name) for name in _TABLES))


def _table(name: str) -> Table:
    columns, primary_key, keys = _TABLES[name]
    return Table(
        name,
        "",
        tuple(
            Column(c, "TEXT", True, comment=_COMMENTS.get(c, ""), samples=_SAMPLES.get(c, ()))
            for c in columns.split(", ")
        ),
        primary_key,
        tuple(ForeignKey((own,), other, (theirs,)) for own, other, theirs in keys),
    )


def school_database() -> sqlite3.Connection:
    """The school with a few rows."""
    connection = sqlite3.connect(":memory:")
    for name, (columns, _, _) in _TABLES.items():
        connection.execute(f"CREATE TABLE {name} ({columns})")
        marks = ", ".join("?" * len(columns.split(", ")))
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", ROWS[name])
    return connection
