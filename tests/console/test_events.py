"""Messages of partners: list, search, show, apply once more; bodies for administrators."""

import hashlib
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.cast import School
from tests.core.html import Page


class Inbox:
    """Stored messages of one partner of the school."""

    def __init__(self, school: School) -> None:
        self.world = school.world
        course = school.course("Milady RISE", "Barber Theory")
        self.organization = school.organization.id
        self.provider = course.provider.id
        self.endpoint = self.world.insert(
            "webhook_endpoints",
            key="milady",
            kind="partner",
            scheme="standard-webhooks",
            organization_id=self.organization,
            provider_id=self.provider,
        )

    def store(self, event_id: str, **values: Any) -> UUID:
        body = values.pop("body", b'{"event": "course.completed"}')
        given = {"status": "applied", "kind": "course.completed", "body": body, **values}
        return self.world.insert(
            "webhook_events",
            endpoint_id=self.endpoint,
            organization_id=self.organization,
            provider_id=self.provider,
            event_id=event_id,
            digest=hashlib.sha256(body).digest(),
            **given,
        )

    def store_unread(self, event_id: str) -> UUID:
        return self.store(event_id, status="needs_attention", kind="", reason="no JSON")


@pytest.fixture
def inbox(school: School) -> Inbox:
    return Inbox(school)


@pytest.fixture
def bob(school: School) -> Client:
    return school.bob.sign_in(Client())


def read(client: Client, path: str = "/admin/events") -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def list_rows(page: Page) -> list[list[str]]:
    cells = [each.text for each in page.all("td")]
    return [cells[place : place + 3] for place in range(0, len(cells), 3)]


def list_bodies(page: Page) -> list[str]:
    return [each.text for each in page.all("pre")]


def test_nothing_yet(school: School, bob: Client) -> None:
    assert read(bob).one("h2").text == "No message yet"


def test_the_newest_first(inbox: Inbox, bob: Client) -> None:
    inbox.store("e-1", match_external_id="en-7")
    inbox.store_unread("e-2")

    assert list_rows(read(bob)) == [
        ["Milady RISE", "–", "Needs a person no JSON"],
        ["Milady RISE", "Completed en-7", "Applied"],
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=needs_attention", 1),
        ("status=applied", 2),
        ("kind=course.completed", 2),
        ("kind=progress.updated", 0),
        ("event_id=e-1", 1),
        ("external_id=en-7", 1),
        ("endpoint=milady", 3),
        ("endpoint=milady&status=applied&event_id=e-1", 1),
    ],
)
def test_search(inbox: Inbox, bob: Client, query: str, found: int) -> None:
    inbox.store("e-1", match_external_id="en-7")
    inbox.store("e-2")
    inbox.store_unread("e-3")
    page = read(bob, f"/admin/events?{query}")

    assert len(list_rows(page)) == found
    assert "open" in page.one("details").attributes
    if not found:
        assert page.one("h2").text == "No message is like that"


def test_a_search_for_what_is_no_choice_is_told(inbox: Inbox, bob: Client) -> None:
    page = read(bob, "/admin/events?status=strange&endpoint=of-others")
    assert "Select a valid choice" in page.one("div", class_="hr-error-summary").text


def test_a_long_list_goes_on(inbox: Inbox, bob: Client) -> None:
    for number in range(60):
        inbox.store(f"e-{number}")
    first = read(bob, "/admin/events?status=applied")
    second = read(bob, first.one("a", rel="next").attributes["href"])

    assert [len(list_rows(page)) for page in (first, second)] == [50, 10]
    assert bob.get("/admin/events?at=x").status_code == 404


def test_the_page_costs_the_same_for_one_and_for_three(inbox: Inbox, bob: Client) -> None:
    counts = []
    for number in range(3):
        inbox.store(f"e-{number}")
        with CaptureQueriesContext(connection) as captured:
            read(bob)
        counts.append(len(captured))
    assert counts == [10, 10, 10]


def test_one_message_and_its_body_for_administrators(
    school: School, inbox: Inbox, bob: Client
) -> None:
    event = inbox.store("e-1", body=b'{"result": "positive", "name": "<b>"}')
    alice = school.alice.sign_in(Client())
    body = read(alice, f"/admin/events/{event}").one("pre").text

    assert '"result": "positive"' in body
    assert "<b>" in body
    assert "positive" not in read(bob, f"/admin/events/{event}").one("main").text


@pytest.mark.parametrize(
    ("body", "shown"), [(b"\xff\xfe", "fffe"), (b"not json", "not json"), (None, "Erased")]
)
def test_any_bytes_can_be_shown(
    school: School, inbox: Inbox, body: bytes | None, shown: str
) -> None:
    event = inbox.store("e-1", body=body or b"x")
    if body is None:
        school.change("webhook_events", event, body=None)
    page = read(school.alice.sign_in(Client()), f"/admin/events/{event}")

    assert shown in page.one("main").text


def test_applying_once_more(school: School, inbox: Inbox, bob: Client) -> None:
    event = inbox.store_unread("e-1")
    offers = [each.text for each in read(bob, f"/admin/events/{event}").all("summary")]
    answer = bob.post(
        f"/admin/events/{event}/replay", {"replay-reason": "adapter mended"}, follow=True
    )
    page = Page(answer.content.decode())

    assert offers == ["Apply once more", "Leave it"]
    assert school.world.column("select status from webhook_events") == ["received"]
    assert "Bob: apply once more. adapter mended" in page.one("main").text


def test_leaving_it(school: School, inbox: Inbox, bob: Client) -> None:
    event = inbox.store_unread("e-1")
    missing = Page(bob.post(f"/admin/events/{event}/ignore").content.decode())
    bob.post(f"/admin/events/{event}/ignore", {"ignore-reason": "a test of theirs"})

    assert "Reason: This field is required." in missing.one("div", class_="hr-error-summary").text
    assert school.world.rows("select status, reason from webhook_events") == [
        ("ignored", "a test of theirs")
    ]
    assert [each.text for each in read(bob, f"/admin/events/{event}").all("summary")] == [
        "Apply once more"
    ]


def test_what_was_applied_is_not_applied_again(school: School, inbox: Inbox, bob: Client) -> None:
    event = inbox.store("e-1")
    answer = bob.post(f"/admin/events/{event}/replay", {"replay-reason": "x"}, follow=True)

    assert "That is not possible any more." in answer.content.decode()
    assert school.world.column("select status from webhook_events") == ["applied"]


def test_an_erased_one_says_why_it_cannot_be_applied(
    school: School, inbox: Inbox, bob: Client
) -> None:
    event = inbox.store_unread("e-1")
    school.change("webhook_events", event, body=None)
    answer = bob.post(f"/admin/events/{event}/replay", {"replay-reason": "x"})
    page = Page(answer.content.decode())

    assert "cannot be replayed" in page.one("div", class_="hr-error-summary").text


def test_from_the_attention_list(school: School, inbox: Inbox, bob: Client) -> None:
    event = inbox.store_unread("e-1")
    item = school.world.insert(
        "attention_items",
        organization_id=school.organization.id,
        kind="webhook_event",
        subject_id=event,
        cause="A message of the partner needs a person: no JSON",
    )
    page = read(bob, f"/admin/attention/{item}")
    bob.post(f"/admin/attention/{item}/ignore", {"ignore-reason": "a test"})

    assert [each.text for each in page.all("summary")] == ["Apply once more", "Leave it"]
    assert f"/admin/events/{event}" in [each.attributes["href"] for each in page.all("a")]
    assert school.world.column("select status from webhook_events") == ["ignored"]
    assert school.world.column("select resolved_by from attention_items") == [school.bob.profile]


def test_two_messages_with_one_id(school: School, inbox: Inbox, bob: Client) -> None:
    event = inbox.store("e-1")
    conflict = school.world.insert(
        "webhook_event_conflicts",
        webhook_event_id=event,
        endpoint_id=inbox.endpoint,
        organization_id=school.organization.id,
        event_id="e-1",
        digest=b"other",
        body=b"other",
    )
    item = school.world.insert(
        "attention_items",
        organization_id=school.organization.id,
        kind="webhook_conflict",
        subject_id=conflict,
        cause="The partner sent two different messages with the same event id.",
    )
    assert "1 with the same id and other content" in list_rows(read(bob))[0][2]
    entry = read(bob, f"/admin/attention/{item}")
    (link,) = [each for each in entry.all("a") if each.text == "What the partner sent"]
    assert link.attributes["href"] == f"/admin/events/{event}"
    assert list_bodies(read(bob, f"/admin/events/{event}")) == []
    alice = read(school.alice.sign_in(Client()), f"/admin/events/{event}")
    assert list_bodies(alice) == ['{ "event": "course.completed" }', "other"]
    bob.post(f"/admin/attention/{item}/dismiss_conflict", {"dismiss_conflict-reason": "asked them"})

    assert "asked them" in read(bob, f"/admin/events/{event}").one("main").text
    assert "content" not in list_rows(read(bob))[0][2]


def test_nobody_else_sees_or_decides(school: School, inbox: Inbox) -> None:
    event = inbox.store_unread("e-1")
    charlie, lena = school.charlie.sign_in(Client()), school.lena.sign_in(Client())

    assert read(charlie).one("h2").text == "No message yet"
    for client, status in ((charlie, 404), (lena, 403), (Client(), 302)):
        assert client.get(f"/admin/events/{event}").status_code == status
        for name in ("replay", "ignore"):
            answer = client.post(f"/admin/events/{event}/{name}", {f"{name}-reason": "x"})
            assert answer.status_code == status
    assert school.world.column("select status from webhook_events") == ["needs_attention"]
