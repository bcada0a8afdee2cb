"""Names and questions -> the words that they share: `custOrderQty` -> customer, order, quantity.

Splitting (snake, camel, digits), common abbreviations, irregular plurals, a small stemmer for
English, and for questions a few synonyms. Not covered: other languages, beyond splitting.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

_RUN = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LETTERS = re.compile(r"[^\W\d]+|\d+")  # beyond ASCII there is no telling where a hump begins

_ABBREVIATIONS = {
    word: expansion.split()
    for line in """
    acc account|acct account|addr address|amt amount|avg average|bal balance|cat category|cd code
    cnt count|cntry country|co company|comm commission|ctry country|curr currency|cust customer
    del delivery|dept department|desc description|dob birth date|doc document|dt date|emp employee
    exp expense|fname first name|freq frequency|fx exchange|govt government|hr hour|inv invoice
    itm item|lang language|lname last name|loc location|lvl level|mgr manager|mo month|msg message
    mth month|nbr number|num number|no number|ord order|org organization|pct percent|pkg package
    pmt payment|po purchase order|pos position|prc price|prd product|prod product|proj project
    pt patient|pymt payment|qty quantity|ref reference|reg region|req request|rev revenue|sal salary
    sched schedule|sku product|src source|stat status|std standard|sub subscription|supp supplier
    tel phone|temp temperature|tot total|trans transaction|trx transaction|ts time|txn transaction
    val value|vend vendor|wh warehouse|whse warehouse|wk week|yr year|zip postal
    """.strip()
    .replace("\n", "|")
    .split("|")
    for word, _, expansion in [line.strip().partition(" ")]
}
_IRREGULAR = {
    "bought": "buy", "children": "child", "cities": "city", "criteria": "criterion",
    "data": "data", "feet": "foot", "geese": "goose", "indices": "index", "men": "man",
    "mice": "mouse", "movies": "movie", "paid": "pay", "people": "person",
    "persons": "person", "sold": "sale",
    "sell": "sale", "selling": "sale", "spent": "spend", "taught": "teach", "women": "woman",
    "news": "news", "lent": "lend", "wrote": "write", "written": "write", "flew": "flight",
    "fly": "flight", "analyses": "analysis", "statuses": "status", "addresses": "address",
}  # fmt: skip
_SYNONYMS = {
    "buyer": ("customer",), "buy": ("purchase", "sale", "order"), "client": ("customer",),
    "cost": ("price", "expense"), "doctor": ("physician", "provider"),
    "earn": ("salary", "revenue"), "earnings": ("salary", "revenue"),
    "goods": ("product", "item"), "headcount": ("employee",),
    "income": ("revenue", "salary"), "item": ("product",), "hospital": ("facility",),
    "merchandise": ("product",), "pay": ("payment", "salary"), "product": ("item",),
    "purchase": ("order", "sale"), "revenue": ("sale", "amount"), "shop": ("store",),
    "spend": ("amount", "expense", "order"), "staff": ("employee",), "stock": ("inventory",),
    "store": ("shop",), "supplier": ("vendor",), "turnover": ("sale", "revenue"),
    "vendor": ("supplier",), "wage": ("salary",), "where": ("location",), "who": ("name",),
    "worker": ("employee",), "when": ("date",), "employee": ("staff",), "user": ("account",),
}  # fmt: skip
_SUFFIXES = ("ments", "ment", "ings", "ing", "ations", "ation", "ers", "ed", "er", "ly")
_SAYS_NOTHING = """
a about all also an and any are as at be been between but by can could did do does each every
find for from get give had has have highest how i if in into is it its just least less list
lowest many me more most much my of on one only or our out over per please select should show
so tell than that the their them then there these they this those three to top two up us was we
were what which whose will with would you your
"""
_EMPTY = frozenset(_SAYS_NOTHING.split())


@lru_cache(maxsize=100_000)
def words(text: str) -> tuple[str, ...]:
    """The stems in a name or a text, abbreviations written out."""
    return tuple(stem for piece in _pieces(text) for stem in _stems(piece))


def question_words(text: str) -> dict[str, float]:
    """The stems of a question that say something, weighed: 1, or less for a synonym."""
    weights: dict[str, float] = {}
    for piece in _pieces(text):
        lower = piece.lower()
        if lower in _EMPTY:
            continue
        for word in _stems(piece):
            weights[word] = 1.0
        for synonym in _synonyms().get(stem(lower), ()):
            weights.setdefault(stem(synonym), 0.4)
    return weights


def says_nothing(word: str) -> bool:
    """True of words that questions are made of, whatever they ask about."""
    return word.lower() in _EMPTY


@cache
def _synonyms() -> dict[str, tuple[str, ...]]:
    return {stem(word): others for word, others in _SYNONYMS.items()}


def _pieces(text: str) -> list[str]:
    return [
        piece
        for run in _RUN.findall(text)
        for piece in (_CAMEL if run.isascii() else _LETTERS).findall(run)
    ]


@lru_cache(maxsize=100_000)
def _stems(piece: str) -> tuple[str, ...]:
    lower = piece.lower()
    return tuple(stem(word) for word in _ABBREVIATIONS.get(lower, [lower]))


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The word without plural and common endings; the same for `shipping` and `shipments`."""
    word = _IRREGULAR.get(word, word)
    word = singular(word)
    changed = True
    while changed:
        changed = False
        for suffix in _SUFFIXES:
            if word.endswith(suffix) and len(word) - len(suffix) >= 3:
                word, changed = _undoubled(word.removesuffix(suffix)), True
                break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def singular(word: str) -> str:
    """An English noun in lower case without its plural's ending."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("sses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    return word[:-1]


def _undoubled(word: str) -> str:
    doubled = len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz"
    return word[:-1] if doubled else word
