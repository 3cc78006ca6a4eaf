"""Learners that nobody has ever met, as a roster file."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

FIRST_NAMES = (
    *("Ana", "Ben", "Chiamaka", "Dwayne", "Elif", "Farah", "Gabriel", "Hana", "Ifeoma", "Jonas"),
    *("Kamala", "Luis", "Maeve", "Nadia", "Ömer", "Priya", "Quentin", "Rosa", "Siobhán", "Tamika"),
)
LAST_NAMES = (
    *("Brooks", "Bianchi", "Delgado", "Dupont", "Eze", "Hernández", "Hughes", "Ionescu", "Johnson"),
    *("Kim", "Moreau", "Nasser", "Novak", "O'Brien", "Okafor", "Petrova", "Raman", "Silva"),
)
FUNDING_SOURCES = ("self_pay", "employer", "WIOA", "WRG", "apprenticeship", "scholarship")


def write_invented_roster(path: Path, *, count: int, programs: Sequence[str], seed: int) -> None:
    """Write a roster of `count` learners, spread evenly over the programs (slugs)."""
    chance = random.Random(seed)  # noqa: S311 - invents people, guards nothing
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("first_name", "last_name", "email", "program", "funding_source", "phone"))
        for number in range(count):
            first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
            email = f"invented.{number + 1}@example.org"
            program = programs[number % len(programs)]
            phone = f"317-555-{chance.randrange(10_000):04}"
            writer.writerow((first, last, email, program, chance.choice(FUNDING_SOURCES), phone))
