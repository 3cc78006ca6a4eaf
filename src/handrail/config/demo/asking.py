"""Asks our database, over Django's connection."""

from typing import Any

from django.db import connection


def fetch(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement as the service role and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def leave_database() -> None:
    """Close the connection of the thread that calls this; the next question opens another."""
    connection.close()
