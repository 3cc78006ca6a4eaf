"""Who is asking: the identity that row security reads, set for one transaction.

`request.jwt.claims` is a transaction-local setting (core/sql/identity.sql): outside a transaction
it would be forgotten at once, and what follows would run without an identity. Therefore everything
here raises outside a transaction instead.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

STAFF_ROLES = ("staff", "admin", "owner")
ADMIN_ROLES = ("admin", "owner")


class NoTransaction(RuntimeError):
    """An identity was to be set outside a transaction: a mistake in the program."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A signed-in person; with an organization, as somebody who works there in `role`."""

    profile_id: UUID | None = None
    organization_id: UUID | None = None
    role: str = ""
    """staff, admin or owner where there is an organization."""

    @property
    def is_admin(self) -> bool:
        """Whether the person may do there what only administrators may."""
        return self.organization_id is not None and self.role in ADMIN_ROLES

    def encode(self) -> str:
        """The claims as the database reads them."""
        claims: dict[str, str | None] = {"sub": str(self.profile_id) if self.profile_id else None}
        if self.organization_id is not None:
            claims |= {"organization_id": str(self.organization_id), "org_role": self.role}
        return json.dumps(claims)


NOBODY = Identity()
"""Nobody is signed in: tenant queries answer nothing, and do not raise."""


def set_identity(identity: Identity) -> None:
    """Let the rest of this transaction run as `identity`.

    Raises:
        NoTransaction: there is no transaction to set it for.
    """
    if not connection.in_atomic_block:
        raise NoTransaction("an identity lasts for a transaction; open one first")
    with connection.cursor() as cursor:
        cursor.execute("select set_config('request.jwt.claims', %s, true)", [identity.encode()])


@contextmanager
def open_as(identity: Identity) -> Iterator[None]:
    """Run a transaction of its own as `identity`: for streams, and around calls to partners.

    Raises:
        RuntimeError: a transaction is open already.
    """
    with transaction.atomic(durable=True):
        set_identity(identity)
        yield
