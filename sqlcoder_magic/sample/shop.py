"""The sample shop: products, customers, salespeople, and three years of sales.

Everything is invented except the cities and their ZIP codes. The rows are drawn from a
seeded generator by `random`, `randrange` and `choice(s)` alone, which give the same numbers
on every platform and Python version.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any

from sqlcoder_magic.sample.build import Rows, SampleDatabase
from sqlcoder_magic.sample.people import names

_DDL = """
CREATE TABLE products (
  product_id INTEGER PRIMARY KEY, -- unique ID of the product
  name TEXT NOT NULL, -- name of the product
  price REAL NOT NULL, -- price of one unit in US dollars
  quantity INTEGER NOT NULL -- units in stock now
);
CREATE TABLE customers (
  customer_id INTEGER PRIMARY KEY, -- unique ID of the customer
  name TEXT NOT NULL, -- full name of the customer
  address TEXT NOT NULL -- street, city, state and ZIP code, such as 12 Main St, Denver, CO 80202
);
CREATE TABLE salespeople (
  salesperson_id INTEGER PRIMARY KEY, -- unique ID of the salesperson
  name TEXT NOT NULL, -- full name of the salesperson
  region TEXT NOT NULL -- sales region: Northeast, South, Midwest or West
);
CREATE TABLE sales (
  sale_id INTEGER PRIMARY KEY, -- unique ID of the sale
  product_id INTEGER NOT NULL REFERENCES products (product_id), -- product that was sold
  customer_id INTEGER NOT NULL REFERENCES customers (customer_id), -- customer who bought it
  salesperson_id INTEGER NOT NULL REFERENCES salespeople (salesperson_id), -- who sold it
  sale_date DATE NOT NULL, -- day of the sale
  quantity INTEGER NOT NULL -- units sold
);
CREATE TABLE product_suppliers (
  supplier_id INTEGER PRIMARY KEY, -- unique ID of the supplier
  product_id INTEGER NOT NULL REFERENCES products (product_id), -- product that is supplied
  supply_price REAL NOT NULL -- price of one unit from this supplier in US dollars
);
"""

# name, price, how well it sells (0: launched, never sold yet)
_PRODUCTS = (
    ("Laptop 14", 1149.0, 6),
    ("Laptop 16 Pro", 1899.0, 3),
    ("Tablet 11", 529.0, 7),
    ("Smartphone X", 799.0, 9),
    ("Smartphone Mini", 449.0, 7),
    ("Smartwatch", 229.0, 8),
    ("Fitness Band", 59.5, 9),
    ("Wireless Earbuds", 89.0, 14),
    ("Noise-Cancelling Headphones", 279.0, 7),
    ("Bluetooth Speaker", 64.9, 10),
    ("Soundbar", 199.0, 4),
    ("4K Monitor 27", 349.0, 6),
    ("Curved Monitor 34", 619.0, 2),
    ("Mechanical Keyboard", 109.0, 7),
    ("Wireless Keyboard", 44.5, 9),
    ("Wireless Mouse", 29.9, 15),
    ("Gaming Mouse", 69.0, 6),
    ("Mouse Pad", 12.5, 9),
    ("Webcam HD", 54.0, 8),
    ("USB Microphone", 119.0, 3),
    ("USB-C Hub", 39.0, 13),
    ("USB-C Cable", 9.9, 18),
    ("Phone Charger", 19.5, 16),
    ("Power Bank", 35.0, 12),
    ("External SSD 1 TB", 99.0, 9),
    ("External SSD 2 TB", 169.0, 5),
    ("Memory Card 128 GB", 22.9, 9),
    ("Wi-Fi Router", 129.0, 5),
    ("Mesh Wi-Fi Kit", 259.0, 3),
    ("Laser Printer", 189.0, 3),
    ("Photo Printer", 149.0, 2),
    ("Printer Paper", 7.9, 11),
    ("Desk Lamp", 34.0, 6),
    ("Laptop Stand", 42.0, 7),
    ("Laptop Backpack", 74.5, 8),
    ("Phone Case", 24.9, 13),
    ("Graphics Tablet", 319.0, 2),
    ("Action Camera", 299.0, 4),
    ("Smart Glasses", 659.0, 0),
    ("Folding Phone", 1299.0, 0),
)
# city, state, real ZIP codes there, weight, sales region
_CITIES = (
    ("New York", "NY", ("10001", "10011", "10025", "10128"), 44, "Northeast"),
    ("Boston", "MA", ("02108", "02116", "02127"), 20, "Northeast"),
    ("Philadelphia", "PA", ("19103", "19106", "19147"), 16, "Northeast"),
    ("Atlanta", "GA", ("30303", "30308", "30312"), 20, "South"),
    ("Miami", "FL", ("33125", "33130", "33137"), 18, "South"),
    ("Houston", "TX", ("77002", "77006", "77019"), 24, "South"),
    ("Austin", "TX", ("78701", "78704", "78745"), 18, "South"),
    ("Chicago", "IL", ("60601", "60614", "60657"), 32, "Midwest"),
    ("Detroit", "MI", ("48201", "48226", "48207"), 12, "Midwest"),
    ("Minneapolis", "MN", ("55401", "55408", "55414"), 12, "Midwest"),
    ("Denver", "CO", ("80202", "80205", "80211"), 16, "West"),
    ("Seattle", "WA", ("98101", "98103", "98122"), 20, "West"),
    ("Los Angeles", "CA", ("90012", "90026", "90036"), 26, "West"),
    ("San Francisco", "CA", ("94102", "94110", "94117"), 22, "West"),
)
# No street is named after a city or state, so that LIKE '%New York%' finds New York alone.
_STREETS = (
    "Main St",
    "Oak St",
    "Maple Ave",
    "Cedar St",
    "Park Ave",
    "Elm St",
    "2nd Ave",
    "3rd St",
    "Lake St",
    "Hill Rd",
    "River Rd",
    "Church St",
    "Pine St",
    "Market St",
    "Spring St",
    "Highland Ave",
)
_REGIONS = ("Northeast", "South", "Midwest", "West")
_FIRST_DAY, _LAST_DAY = date(2022, 1, 1), date(2024, 12, 31)
_YEAR = {2022: 0.85, 2023: 1.0, 2024: 1.2}
_MONTH = (0.8, 0.8, 0.9, 0.95, 1.0, 0.95, 0.9, 1.0, 1.05, 1.0, 1.4, 1.6)
_WEEKDAY = (1.0, 0.95, 1.0, 1.1, 1.3, 1.15, 0.6)  # Monday first
_CUSTOMERS, _WITHOUT_SALES, _SALESPEOPLE = 300, 12, 12


def _rows() -> dict[str, Rows]:
    rng = Random(20240229)
    everyone = names(rng, _CUSTOMERS + _SALESPEOPLE)
    home = _homes(rng)
    regions = [_REGIONS[i % len(_REGIONS)] for i in range(_SALESPEOPLE)]
    return {
        "products": _products(rng),
        "customers": [
            (i + 1, name, address)
            for i, (name, (address, _)) in enumerate(zip(everyone, home, strict=False))
        ],
        "salespeople": [(i + 1, name, regions[i]) for i, name in enumerate(everyone[_CUSTOMERS:])],
        "sales": _sales(rng, [region for _, region in home], regions),
        "product_suppliers": _suppliers(rng),
    }


def _products(rng: Random) -> Rows:
    stock = [rng.randrange(5, 400) for _ in _PRODUCTS]
    for sold_out in (12, 19, 30):
        stock[sold_out] = 0
    return [(i + 1, name, price, stock[i]) for i, (name, price, _) in enumerate(_PRODUCTS)]


def _homes(rng: Random) -> list[tuple[str, str]]:
    """An address and its region for each customer."""
    cities = rng.choices(_CITIES, weights=[weight for *_, weight, _ in _CITIES], k=_CUSTOMERS)
    return [
        (
            f"{rng.randrange(1, 1000)} {rng.choice(_STREETS)}, {city}, {state} {rng.choice(zips)}",
            region,
        )
        for city, state, zips, _, region in cities
    ]


def _sales(rng: Random, region_of: list[str], regions: list[str]) -> Rows:
    """Busier each year, before Christmas and on Fridays; mostly sold by the customer's region."""
    keen = [rng.choice((1, 1, 2, 3, 5, 9)) for _ in range(_CUSTOMERS - _WITHOUT_SALES)]
    skill = [rng.randrange(4, 14) for _ in regions]
    products = range(1, len(_PRODUCTS) + 1)
    popular = [weight for *_, weight in _PRODUCTS]
    rows: list[tuple[Any, ...]] = []
    day = _FIRST_DAY
    while day <= _LAST_DAY:
        busy = 6 * _YEAR[day.year] * _MONTH[day.month - 1] * _WEEKDAY[day.weekday()]
        for _ in range(sum(rng.random() < busy / 20 for _ in range(20))):
            product = rng.choices(products, weights=popular)[0]
            customer = rng.choices(range(len(keen)), weights=keen)[0]
            near = [
                8 * s if r == region_of[customer] else s
                for r, s in zip(regions, skill, strict=True)
            ]
            seller = rng.choices(range(len(regions)), weights=near)[0]
            units = rng.choices((1, 2, 3, 4, 6), weights=_units(_PRODUCTS[product - 1][1]))[0]
            rows.append((len(rows) + 1, product, customer + 1, seller + 1, day.isoformat(), units))
        day += timedelta(days=1)
    return rows


def _units(price: float) -> tuple[int, ...]:
    """How often 1, 2, 3, 4 and 6 units are bought at once: cheap things by the handful."""
    return (3, 4, 3, 2, 1) if price < 50 else (12, 5, 2, 1, 0) if price < 300 else (20, 3, 1, 0, 0)


def _suppliers(rng: Random) -> Rows:
    rows: list[tuple[Any, ...]] = []
    for product, (_, price, _) in enumerate(_PRODUCTS, start=1):
        for _ in range(rng.choice((1, 2, 2, 3))):
            share = rng.randrange(48, 82) / 100
            rows.append((len(rows) + 1, product, round(price * share, 2)))
    return rows


SHOP = SampleDatabase("shop", _DDL.strip(), _rows)
