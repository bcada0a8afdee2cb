"""How long `check_sql` takes beside a schema of 500 and of 10,000 tables.

    python benchmarks/check_overhead.py

Prints the median and the slowest of 200 checks of a ten-line query, the first check apart,
which builds the index of the schema. Goals: median under 5 ms and under 50 ms.
"""

from __future__ import annotations

import statistics
import time

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.types import Column, Schema, Table

QUERY = """\
WITH recent AS (
    SELECT customer_id, SUM(quantity) AS total FROM sales WHERE sale_date > '2024-01-01'
    GROUP BY customer_id
)
SELECT c.name, r.total, p.name AS product, COUNT(*) AS n
FROM recent r JOIN customers c ON c.customer_id = r.customer_id
JOIN sales s ON s.customer_id = c.customer_id
JOIN products p ON p.product_id = s.product_id
WHERE p.price BETWEEN 10 AND 500 AND c.city IN ('New York', 'San Francisco')
GROUP BY c.name, r.total, p.name HAVING COUNT(*) > 2 ORDER BY n DESC LIMIT 10"""
SHOP = {
    "sales": ("sale_id", "product_id", "customer_id", "sale_date", "quantity"),
    "customers": ("customer_id", "name", "city"),
    "products": ("product_id", "name", "price"),
}
CHECKS = 200


def schema(tables: int, dialect: str) -> Schema:
    """The shop among so many other tables of twenty columns."""
    names = {f"table_{i}": [f"column_{j}" for j in range(20)] for i in range(tables - len(SHOP))}
    return Schema(
        dialect,
        tuple(
            Table(name, "", tuple(Column(c, "TEXT", True) for c in columns), (), ())
            for name, columns in {**names, **SHOP}.items()
        ),
    )


def main() -> None:
    """Measure each size and dialect, and print a line for each."""
    print(f"{'tables':>7} {'dialect':>9} {'first':>9} {'median':>9} {'slowest':>9}")
    for tables in (500, 10_000):
        for dialect in ("sqlite", "postgres", "duckdb", "mysql"):
            made = schema(tables, dialect)
            seconds = []
            for _ in range(CHECKS + 1):
                start = time.perf_counter()
                check_sql(QUERY, made)
                seconds.append(time.perf_counter() - start)
            first, rest = seconds[0], seconds[1:]
            shown = (first, statistics.median(rest), max(rest))
            print(f"{tables:>7} {dialect:>9} " + " ".join(f"{s * 1e3:6.2f} ms" for s in shown))


if __name__ == "__main__":
    main()
