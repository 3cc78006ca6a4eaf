"""What needs a person."""

from uuid import UUID

from django.db import connection


def count_open_items(organization_id: UUID, *, at_most: int) -> int:
    """Return how many there are, counted no further than `at_most` (index attention_items_list)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from (select from attention_items where organization_id = %s "
            "and resolved_at is null limit %s) as open_items",
            [organization_id, at_most],
        )
        return int(cursor.fetchone()[0])
