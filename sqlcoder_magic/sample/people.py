"""Names of invented people, drawn without repeats. Nothing else."""

from __future__ import annotations

from random import Random

_FIRST = {
    "female": """
    Aaliyah Abigail Alice Amara Angela Anita Beatriz Bianca Camila Carmen Charlotte Chloe Deborah
    Elena Emily Emma Fatima Fiona Grace Hana Hannah Imani Isabel Jasmine Julia Kavya Keiko Laila
    Lina Maria Maya Mei Mila Naomi Nia Olivia Priya Rachel Rosa Ruth Sara Sofia Stella Valeria
    Yara Zoe""",
    "male": """
    Aaron Adrian Andre Arjun Benjamin Caleb Carlos Daniel Darius David Diego Elijah Erik Ethan
    Felix Gabriel Henry Hiro Ivan Jamal James Jin Jordan Kenji Leo Liam Lucas Luis Marcus Michael
    Nathan Noah Omar Oscar Quinn Ravi Samuel Tariq Thomas Victor Wei William Yusuf""",
}
_LAST = """
    Adams Ahmed Alvarez Anderson Bailey Baker Banerjee Bennett Brooks Brown Campbell Carter
    Castillo Chang Clark Coleman Collins Cooper Cruz Davis Diaz Edwards Evans Fischer Flores
    Foster Garcia Gomez Gonzalez Gray Green Gupta Hall Harris Hernandez Hill Howard Hughes Jackson
    Jenkins Johnson Jones Kelly Khan Kim Kowalski Kumar Lee Lewis Lopez Martin Martinez Mehta
    Miller Mitchell Moore Morgan Morris Murphy Nakamura Nelson Nguyen Novak Okafor Ortiz Park
    Parker Patel Perez Peterson Phillips Powell Ramirez Reed Reyes Rivera Roberts Robinson
    Rodriguez Rossi Russell Sanchez Sato Schmidt Scott Silva Singh Smith Stewart Sullivan Tanaka
    Taylor Thomas Thompson Torres Turner Walker Ward Watson White Williams Wilson Wright Young
"""


def people(rng: Random, count: int) -> list[tuple[str, str]]:
    """`count` people with different names: first and last name, and gender."""
    last_names = _LAST.split()
    found: dict[str, str] = {}
    while len(found) < count:
        gender = rng.choice(("female", "male"))
        found[f"{rng.choice(_FIRST[gender].split())} {rng.choice(last_names)}"] = gender
    return list(found.items())


def names(rng: Random, count: int) -> list[str]:
    """`count` different names, first and last."""
    return [name for name, _ in people(rng, count)]
