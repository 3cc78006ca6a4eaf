"""The one helper that sets who asks; and what the walls make of it."""

import json
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from handrail.organizations.identity import NOBODY, Identity, NoTransaction, open_as, set_identity
from tests.cast import School


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"select count(*) from {table}")
        return int(cursor.fetchone()[0])


def test_claims_of_each_kind_of_person() -> None:
    person, organization = UUID(int=1), UUID(int=2)

    assert json.loads(NOBODY.encode()) == {"sub": None}
    assert json.loads(Identity(person).encode()) == {"sub": str(person)}
    assert json.loads(Identity(person, organization, "staff").encode()) == {
        "sub": str(person),
        "organization_id": str(organization),
        "org_role": "staff",
    }


@pytest.mark.parametrize(
    ("role", "expected"), [("staff", False), ("admin", True), ("owner", True), ("", False)]
)
def test_who_is_an_administrator(role: str, expected: bool) -> None:  # noqa: FBT001
    assert Identity(uuid4(), uuid4(), role).is_admin is expected
    assert not Identity(uuid4(), None, role).is_admin


def test_outside_a_transaction_it_raises(school: School) -> None:
    with pytest.raises(NoTransaction):
        set_identity(NOBODY)


def test_it_ends_with_the_transaction(school: School) -> None:
    with open_as(Identity(school.lena.profile)):
        assert count("profiles") == 1
    with transaction.atomic(), pytest.raises(DatabaseError, match="no identity is set"):
        count("profiles")


def test_open_as_is_never_inside_another_transaction(school: School) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError), open_as(NOBODY):
        pass


TABLES = ["learners", "enrollments", "enrollment_steps", "partner_lms_providers", "organizations"]


@pytest.mark.parametrize("table", TABLES)
def test_a_query_without_identity_raises_rather_than_showing_nothing(
    school: School, table: str
) -> None:
    school.world.enroll(school.lena_here, school.barbering().program)
    with transaction.atomic(), pytest.raises(DatabaseError, match="no identity is set"):
        count(table)


@pytest.mark.parametrize("table", [*TABLES, "profiles"])
def test_nobody_sees_nothing(school: School, table: str) -> None:
    school.world.enroll(school.lena_here, school.barbering().program)
    with open_as(NOBODY):
        assert count(table) == 0


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("mfa_authenticator", "type, data, created_at) values (%s, 'totp', '{}', now()"),
        ("account_emailaddress", "email, verified, \"primary\") values (%s, 'a@b.c', true, true"),
    ],
)
def test_what_allauth_keeps_of_people_is_their_own(school: School, table: str, values: str) -> None:
    school.world.admin.execute(
        f"insert into {table} (user_id, {values})".encode(), [school.lena.profile]
    )
    with open_as(Identity(school.lena.profile)):
        assert count(table) == 1
    with open_as(Identity(school.charlie.profile, school.other.id, "owner")):
        assert count(table) == 0
    with open_as(NOBODY):
        assert count(table) == 0


def test_the_web_may_write_only_what_people_enter_themselves(school: School) -> None:
    for column in ("email = 'x@example.org'", "is_super_admin = true", "is_active = true"):
        with (
            pytest.raises(DatabaseError, match="permission denied"),
            open_as(Identity(school.lena.profile)),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"update profiles set {column}")


def test_sign_in_answers_only_what_is_needed(school: School) -> None:
    with open_as(NOBODY), connection.cursor() as cursor:
        cursor.execute("select * from find_sign_in(%s)", [" LENA@example.org "])
        columns = [column.name for column in cursor.description or ()]
        rows = cursor.fetchall()

    assert columns == ["id", "password", "is_active"]
    assert [row[0] for row in rows] == [school.lena.profile]
