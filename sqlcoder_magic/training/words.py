"""The words that names are varied with: synonyms, abbreviations, nouns that can stand in.

Data, and the spelling of names and plurals. Synonyms are near enough that a question about
the old word can be answered from the new one. Not covered: which name is changed (`augment`).
"""

from __future__ import annotations

SYNONYMS: dict[str, tuple[str, ...]] = {
    "address": ("location", "residence"),
    "age": ("years_old",),
    "amount": ("sum", "value"),
    "budget": ("funds", "funding"),
    "category": ("kind", "type", "class"),
    "city": ("town", "municipality"),
    "code": ("key", "abbreviation"),
    "company": ("firm", "enterprise", "business"),
    "cost": ("price", "expense"),
    "country": ("nation", "land"),
    "customer": ("client", "buyer"),
    "date": ("day",),
    "department": ("division", "unit"),
    "description": ("details", "summary"),
    "duration": ("length", "time_taken"),
    "email": ("mail", "email_address"),
    "employee": ("worker", "staff_member"),
    "end": ("finish", "close"),
    "first": ("given",),
    "gender": ("sex",),
    "id": ("key", "code", "number", "uid"),
    "last": ("family",),
    "location": ("place", "site"),
    "manager": ("boss", "supervisor"),
    "name": ("title", "label", "full_name"),
    "nationality": ("citizenship", "origin"),
    "number": ("no", "count"),
    "order": ("purchase",),
    "phone": ("telephone", "mobile"),
    "population": ("inhabitants", "residents"),
    "price": ("cost", "unit_price"),
    "product": ("item", "article"),
    "quantity": ("units", "pieces"),
    "rank": ("position", "standing"),
    "rating": ("score", "stars"),
    "salary": ("pay", "wage", "income"),
    "school": ("college", "academy"),
    "start": ("begin", "opening"),
    "status": ("state", "condition"),
    "total": ("overall",),
    "type": ("kind", "category"),
    "weight": ("mass",),
    "year": ("season_year", "calendar_year"),
}
ABBREVIATIONS: dict[str, tuple[str, ...]] = {
    "account": ("acct",),
    "address": ("addr",),
    "amount": ("amt",),
    "average": ("avg",),
    "category": ("cat", "ctg"),
    "code": ("cd",),
    "company": ("co", "comp"),
    "country": ("ctry", "cntry"),
    "customer": ("cust",),
    "date": ("dt",),
    "department": ("dept",),
    "description": ("descr",),
    "document": ("doc",),
    "employee": ("emp",),
    "first": ("fst",),
    "last": ("lst",),
    "location": ("loc",),
    "manager": ("mgr",),
    "maximum": ("max",),
    "minimum": ("min",),
    "name": ("nm",),
    "number": ("num", "nbr"),
    "organization": ("org",),
    "percentage": ("pct",),
    "person": ("pers",),
    "population": ("pop",),
    "position": ("pos",),
    "product": ("prod",),
    "project": ("proj",),
    "quantity": ("qty",),
    "student": ("stu", "stud"),
    "telephone": ("tel",),
    "transaction": ("txn", "trans"),
    "type": ("typ",),
    "year": ("yr",),
}
# Nouns of one row may stand in for each other in schema and question alike.
STAND_INS = tuple(
    tuple(row.split())
    for row in (
        "singer student teacher employee customer player driver doctor actor artist author "
        "member visitor guest passenger pilot engineer farmer dentist sailor violinist gardener "
        "tenant donor trainee volunteer lawyer nurse tourist climber collector",
        "manager director coach captain mayor chairman sponsor editor judge",
        "club team school company hospital museum store shop hotel library restaurant airport "
        "bank theater bakery clinic laboratory warehouse factory gym brewery",
        "car ship train plane boat truck bicycle tractor scooter",
        "book song movie film album game magazine poem painting recipe podcast novel",
        "pet dog cat horse bird rabbit",
        "city county state region village island province",
        "concert race match festival conference exhibition wedding tournament parade",
        "product device camera phone ring lamp chair",
        "course class lesson seminar workshop",
    )
)
TABLE_NAMES = tuple(
    "players results matches seasons games elections episodes races records albums songs stations "
    "schools teams standings lakes rivers buildings awards films districts candidates drivers "
    "medals routes ships aircraft species castles parks stadiums books models trains bridges "
    "roster schedule draft_picks winners scores list entries data statistics overview".split()
)


def singular(word: str) -> str:
    """One of them: `cities` -> city, `matches` -> match."""
    lower = word.lower()
    if lower.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if lower.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if lower.endswith("s") and not lower.endswith(("ss", "us", "is", "ics")) and len(word) > 3:
        return word[:-1]
    return word


def plural(word: str) -> str:
    """Several of them."""
    lower = word.lower()
    if lower in ("people", "data", "info", "staff", "species", "series", "equipment"):
        return word
    if lower.endswith("s") and not lower.endswith(("ss", "us", "is")):
        return word
    if lower.endswith("y") and lower[-2:-1] not in tuple("aeiou"):
        return word[:-1] + "ies"
    if lower.endswith(("ch", "sh", "ss", "x", "us", "is")):
        return word + "es"
    return word + "s"


STYLES = ("snake", "camel", "pascal", "upper", "title")


def spell(words: list[str], style: str) -> str:
    """A name of these words (lower case) in one of `STYLES`."""
    if style == "camel":
        return words[0] + "".join(word.capitalize() for word in words[1:])
    if style == "pascal":
        return "".join(word.capitalize() for word in words)
    if style == "upper":
        return "_".join(words).upper()
    if style == "title":
        return "_".join(word.capitalize() for word in words)
    return "_".join(words)
