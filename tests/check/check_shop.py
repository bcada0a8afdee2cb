"""The shop that the statements in `fixtures/` are about: its `Schema`, and its DDL an engine."""

from __future__ import annotations

from pathlib import Path

from sqlcoder_magic.types import Column, Schema, Table

FIXTURES = Path(__file__).parent / "fixtures"
DIALECTS = ("sqlite", "postgres", "duckdb", "mysql")

# name -> columns with a type that all of them take.
TABLES = {
    "products": "product_id INTEGER, name TEXT, category TEXT, price NUMERIC(10,2), "
    "quantity INTEGER",
    "customers": "customer_id INTEGER, name TEXT, address TEXT, city TEXT, email TEXT, "
    "created_at TIMESTAMP, active INTEGER",
    "salespeople": "salesperson_id INTEGER, name TEXT, region TEXT, manager_id INTEGER, "
    "hired_on DATE, salary NUMERIC(10,2)",
    "sales": "sale_id INTEGER, product_id INTEGER, customer_id INTEGER, salesperson_id INTEGER, "
    "sale_date DATE, quantity INTEGER",
    "product_suppliers": "supplier_id INTEGER, product_id INTEGER, supply_price NUMERIC(10,2)",
    "events": "id INTEGER, kind TEXT, happened_at TIMESTAMP, payload {json}, tags {tags}, "
    "note TEXT",
    # Everyday names that are also words of SQL.
    "user": 'id INTEGER, "delete" INTEGER, "update" TEXT, "set" TEXT, "replace" TEXT, '
    '"order" INTEGER',
    "update": 'id INTEGER, "from" TEXT, "select" TEXT, "drop" INTEGER, "grant" TEXT',
    "order items": 'id INTEGER, "line total" NUMERIC(10,2), "naïve" TEXT, "a-b" INTEGER',
}
VIEWS = {"active_customers": "SELECT customer_id, name, city FROM customers WHERE active = 1"}
VIEW_COLUMNS = ("customer_id", "name", "city")
# USE INDEX and MATCH ... AGAINST need them.
MYSQL_INDEXES = (
    "CREATE INDEX by_name ON products (name(20))",
    "CREATE FULLTEXT INDEX words ON products (name)",
)
ROWS = (
    "INSERT INTO products VALUES (1, 'Pen', 'office', 1.5, 100), (2, 'Desk', 'home', 250, 3), "
    "(3, 'Lamp', 'home', 40, 0)",
    "INSERT INTO customers VALUES (1, 'Ann', '1 Main St, New York', 'New York', 'ann@a.org', "
    "'2023-01-05 10:00:00', 1), (2, 'Bo', '2 Bay St, San Francisco', 'San Francisco', NULL, "
    "'2024-02-29 23:59:59', 0)",
    "INSERT INTO salespeople VALUES (1, 'Sam', 'East', NULL, '2020-02-01', 5000), "
    "(2, 'Sue', 'West', 1, '2022-08-15', 4000)",
    "INSERT INTO sales VALUES (1, 1, 1, 1, '2024-01-31', 10), (2, 2, 1, 2, '2024-02-29', 1), "
    "(3, 3, 2, 2, '2024-03-31', 2), (4, 1, 2, 1, '2024-12-30', 5), (5, 1, 1, 1, '2023-06-15', 7)",
    "INSERT INTO product_suppliers VALUES (1, 1, 1.0), (2, 2, 200)",
)


def shop(dialect: str) -> Schema:
    """The shop in a dialect."""
    tables = [
        _table(name, [c.strip().rpartition(" ")[0].strip('"') for c in _split(columns)])
        for name, columns in TABLES.items()
    ]
    return Schema(dialect, (*tables, *(_table(name, VIEW_COLUMNS) for name in VIEWS)))


def _split(columns: str) -> list[str]:
    return columns.replace("(10,2)", "").split(",")


def _table(name: str, columns: list[str] | tuple[str, ...]) -> Table:
    return Table(name, "", tuple(Column(c, "TEXT", True) for c in columns), (), ())


def ddl(dialect: str) -> list[str]:
    """What creates the shop with a few rows."""
    json = {"postgres": "JSONB", "duckdb": "JSON", "mysql": "JSON"}.get(dialect, "TEXT")
    tags = "TEXT" if dialect in ("sqlite", "mysql") else "TEXT[]"
    creates = [
        f'CREATE TABLE "{name}" ({columns.replace("{json}", json).replace("{tags}", tags)})'
        for name, columns in TABLES.items()
    ]
    if dialect == "mysql":
        creates = [sql.replace('"', "`").replace("TIMESTAMP", "DATETIME") for sql in creates]
        creates += MYSQL_INDEXES
    return [*creates, *(f"CREATE VIEW {n} AS {sql}" for n, sql in VIEWS.items()), *ROWS]


def good_statements(dialect: str) -> list[str]:
    """The everyday statements of one dialect: those of all engines, and its own."""
    found = _parts("common") + _parts(dialect)
    quote = "`" if dialect == "mysql" else '"'
    return [sql.replace("«", quote).replace("»", quote) for sql in found]


def oracles_mysql_alone() -> list[str]:
    """Everyday statements of Oracle's MySQL that MariaDB does not know."""
    return _parts("mysql_oracle")


def _parts(name: str) -> list[str]:
    text = (FIXTURES / "good" / f"{name}.sql").read_text(encoding="utf-8")
    return [part.strip() for part in text.split(";\n") if part.strip()]


def hostile_statements() -> list[tuple[str, str, str]]:
    """(dialect, rule, statement); `-- rule: name` heads the statements that it refuses."""
    cases: list[tuple[str, str, str]] = []
    for path in sorted((FIXTURES / "hostile").glob("*.sql")):
        rule = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("-- rule: "):
                rule = line.removeprefix("-- rule: ")
            elif line.strip() and not line.startswith("-- #"):
                dialects = DIALECTS if path.stem == "common" else (path.stem,)
                cases += [(dialect, rule, _unescaped(line)) for dialect in dialects]
    return cases


def _unescaped(line: str) -> str:
    for code in ("0000", "0008", "001B", "007F", "00A0", "00AD", "200B", "202E", "2066", "2028"):
        line = line.replace(f"{{U+{code}}}", chr(int(code, 16)))
    return line.replace("{NL}", "\n").replace("{CR}", "\r")
