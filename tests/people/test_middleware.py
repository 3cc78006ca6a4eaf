"""Each request: one transaction, one identity, decided by session and face."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from fido2.utils import websafe_encode
from pytest_django import Settings

from tests.cast import School
from tests.core.html import Page
from tests.factories import World
from tests.people.test_second_factor import begin, enroll


@pytest.fixture(autouse=True)
def _addresses(settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.people.addresses"


@pytest.fixture
def quiet_client() -> Client:
    """A client that answers 500 where the test server would raise."""
    return Client(raise_request_exception=False)


def read_claims(client: Client, path: str) -> dict[str, Any]:
    found = json.loads(client.get(path).content)
    assert isinstance(found, dict)
    return found


def has_trace(world: World) -> bool:
    return bool(world.value("select exists (select from django_cache where cache_key = 'trace')"))


@pytest.mark.parametrize("face", ["student", "admin", "accounts", "api"])
def test_nobody_is_set_as_nobody(school: School, client: Client, face: str) -> None:
    assert read_claims(client, f"/{face}/test/claims") == {"sub": None}


def test_alice_works_in_her_school_where_the_console_is(school: School, client: Client) -> None:
    school.alice.sign_in(client)
    alone = {"sub": str(school.alice.profile)}
    at_work = alone | {"organization_id": str(school.organization.id), "org_role": "owner"}

    assert read_claims(client, "/student/test/claims") == alone
    assert read_claims(client, "/accounts/test/claims") == alone
    assert read_claims(client, "/admin/test/claims") == at_work
    assert read_claims(client, "/api/test/claims") == at_work


def test_somebody_with_the_role_partner_works_nowhere(school: School, client: Client) -> None:
    guest = school.person("guest", school.organization, "partner")
    guest.sign_in(client)

    assert read_claims(client, "/admin/test/claims") == {"sub": str(guest.profile)}


def test_a_membership_that_ended_counts_from_the_next_request(
    school: School, client: Client
) -> None:
    school.bob.sign_in(client)
    assert "org_role" in read_claims(client, "/admin/test/claims")
    school.world.admin.execute(
        "delete from memberships where profile_id = %s", [school.bob.profile]
    )

    assert read_claims(client, "/admin/test/claims") == {"sub": str(school.bob.profile)}


def test_the_chosen_organization_stands_while_the_person_works_there(
    school: School, client: Client
) -> None:
    school.world.insert(
        "memberships", organization_id=school.other.id, profile_id=school.bob.profile, role="admin"
    )
    school.bob.sign_in(client)
    first = read_claims(client, "/admin/test/claims")
    answer = client.post("/admin/organization", {"organization": str(school.organization.id)})
    second = read_claims(client, "/admin/test/claims")
    school.world.admin.execute(
        "delete from memberships where organization_id = %s", [school.organization.id]
    )
    third = read_claims(client, "/admin/test/claims")

    assert answer.status_code == 302
    assert [each["org_role"] for each in (first, second, third)] == ["admin", "staff", "admin"]
    assert [each["organization_id"] for each in (first, second, third)] == [
        str(school.other.id),  # "Charlie's School" comes first by name
        str(school.organization.id),
        str(school.other.id),
    ]


def test_an_organization_where_one_does_not_work_cannot_be_chosen(
    school: School, client: Client
) -> None:
    school.lena.sign_in(client)
    for wanted in (school.organization.id, school.other.id, "nonsense"):
        answer = client.post("/admin/organization", {"organization": str(wanted)})
        assert answer.status_code == 404


def test_templates_are_rendered_inside(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    answer = client.get("/student/test/lazy")

    assert str(school.lena.profile) in answer.content.decode()


def test_a_stream_runs_outside_and_opens_its_own(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    outside, inside = list(client.get("/student/test/stream"))

    assert (outside, json.loads(inside)) == (b"none", {"sub": str(school.lena.profile)})


def test_what_went_well_is_kept(school: School, client: Client) -> None:
    client.get("/student/test/claims")
    assert has_trace(school.world)


@pytest.mark.parametrize(("path", "status"), [("500", 500), ("404", 404), ("error", 500)])
def test_what_failed_is_taken_back(
    school: School, quiet_client: Client, path: str, status: int
) -> None:
    assert quiet_client.get(f"/student/test/{path}").status_code == status
    assert not has_trace(school.world)


def test_a_failed_statement_is_an_error_page_and_the_next_request_works(
    school: School, quiet_client: Client
) -> None:
    assert quiet_client.get("/student/test/database").status_code == 500
    assert read_claims(quiet_client, "/student/test/claims") == {"sub": None}


def test_a_view_with_its_own_transactions_knows_who_asks(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    in_transaction, before, signed_in, *inside = (
        client.get("/student/test/outside").content.decode().split(" ", 3)
    )

    assert (in_transaction, before, signed_in) == ("False", "none", "True")
    assert json.loads(inside[0]) == {"sub": str(school.lena.profile)}


def test_a_session_whose_password_was_changed_is_over(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    school.change("profiles", school.lena.profile, password="md5$other$0")

    assert read_claims(client, "/student/test/claims") == {"sub": None}


def test_a_closed_account_is_over_at_once(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    school.change("profiles", school.lena.profile, is_active=False)

    assert read_claims(client, "/student/test/claims") == {"sub": None}


def test_before_the_second_factor_one_is_known_where_one_signs_in_and_nowhere_else(
    school: School,
) -> None:
    enroll(Client(), school.alice)
    client = begin(school.alice)

    assert {
        face: read_claims(client, f"/{face}/test/claims")
        for face in ("student", "admin", "api", "accounts")
    } == {
        "student": {"sub": None},
        "admin": {"sub": None},
        "api": {"sub": None},
        "accounts": {"sub": str(school.alice.profile)},
    }


@pytest.mark.parametrize("way", ["link", "passkey"])
def test_who_presents_what_is_not_right_is_again_who_came(
    school: School, client: Client, way: str
) -> None:
    lena = str(school.lena.profile)
    credential = {"response": {"userHandle": websafe_encode(lena.encode())}}
    presented = {"uidb36": lena, "key": "wrong", "credential": json.dumps(credential)}
    path = f"/accounts/test/{way}?{urlencode(presented)}"

    assert read_claims(client, path) == {"sub": None}
    school.bob.sign_in(client)
    assert read_claims(client, path) == {"sub": str(school.bob.profile)}


@pytest.mark.parametrize("name", ["signed-in", "staff"])
def test_strangers_are_sent_to_the_sign_in_and_back(
    school: School, client: Client, name: str
) -> None:
    answer = client.get(f"/admin/test/{name}?a=b")

    assert answer.status_code == 302
    assert answer["Location"] == f"/accounts/login/?next=/admin/test/{name}%3Fa%3Db"


@pytest.mark.parametrize(
    ("before", "back"),
    [
        ("http://testserver/admin/test/claims?a=b", "/admin/test/claims%3Fa%3Db"),
        ("http://testserver", "/"),
        ("https://evil.example/admin/test/claims", "/"),
        ("", "/"),
    ],
)
def test_what_strangers_send_is_not_kept_and_they_are_told(
    school: School, client: Client, before: str, back: str
) -> None:
    answer = client.post("/admin/test/staff", headers={"Referer": before} if before else {})
    page = Page(client.get(answer["Location"]).content.decode())

    assert answer["Location"] == f"/accounts/login/?next={back}"
    assert page.all("div", role="alert")[0].text == (
        "You were signed out. What you sent was not saved: please do it again."
    )


def test_a_list_that_htmx_asks_for_becomes_the_sign_in_page(school: School, client: Client) -> None:
    answer = client.get("/admin/test/staff?q=ada", headers={"HX-Request": "true"})

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer["HX-Redirect"] == "/accounts/login/?next=/admin/test/staff%3Fq%3Dada"


@pytest.mark.parametrize("name", ["forms", "own-forms"])
def test_who_opens_the_address_of_a_form_comes_to_its_page(
    school: School, client: Client, name: str
) -> None:
    school.bob.sign_in(client)
    path = f"/admin/test/{name}"
    opened = client.get(path)

    assert (opened.status_code, opened["Location"]) == (302, "/admin/pipeline")
    assert client.post(path).status_code == 200
    assert (client.put(path).status_code, client.put(path)["Allow"]) == (405, "POST")


def test_one_who_learns_may_not_open_the_console(school: School, client: Client) -> None:
    school.lena.sign_in(client)

    assert client.get("/admin/test/staff").status_code == 403
    assert client.get("/admin/test/signed-in").status_code == 200


def test_pages_of_people_are_not_kept_by_browsers(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    assert client.get("/student/test/signed-in")["Cache-Control"] == "no-store"


@pytest.fixture
def _database_away(school: School) -> Iterator[None]:
    given = connections["default"].settings_dict
    connection.close()
    kept = {"HOST": given["HOST"], "PORT": given["PORT"]}
    given.update(HOST="127.0.0.1", PORT="1")
    yield
    given.update(kept)


@pytest.mark.usefixtures("_database_away")
@pytest.mark.parametrize("path", ["claims", "outside"])
def test_without_a_database_people_are_told_to_come_back(client: Client, path: str) -> None:
    answer = client.get(f"/student/test/{path}")

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "We will be back in a moment" in answer.content.decode()


@pytest.mark.usefixtures("_database_away")
def test_an_address_that_does_not_exist_needs_no_database(client: Client) -> None:
    assert client.get("/no/such/page").status_code == 404


def test_what_a_page_costs_before_its_own_queries(school: School, client: Client) -> None:
    school.alice.sign_in(client)
    with CaptureQueriesContext(connection) as captured:
        client.get("/admin/test/claims")
    asked = [
        query["sql"].strip()
        for query in captured.captured_queries
        if not query["sql"].startswith(("BEGIN", "COMMIT"))
    ]

    words = [each.split()[0] for each in asked]
    assert words == ["SELECT", "select", "SELECT", "with", "select", "insert", "select"]
    assert "django_session" in asked[0]
    assert f'{{"sub": "{school.alice.profile}"}}' in asked[1]
    assert '"profiles"' in asked[2]
    assert "memberships" in asked[3]
    assert '"org_role": "owner"' in asked[4]
