"""What needs a person: each cause is listed in plain words and resolved on its page."""

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.cast import Barbering, School
from tests.core.html import Page
from tests.factories import Enrollment


@pytest.fixture
def barbering(school: School) -> Barbering:
    return school.barbering()


@pytest.fixture
def enrollment(school: School, barbering: Barbering) -> Enrollment:
    """Lena's; nobody has answered its first call."""
    return school.world.enroll(school.lena_here, barbering.program)


@pytest.fixture
def bob(school: School) -> Client:
    return school.bob.sign_in(Client())


def read(client: Client, path: str) -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def list_entries(client: Client) -> list[tuple[str, str]]:
    page = read(client, "/admin/attention")
    causes = [each.text for each in page.all("p", class_="hr-case__cause")]
    facts = [each.text.split(", since")[0] for each in page.all("p", class_="hr-case__facts")]
    return [
        (cause, fact.replace(" , ", ", ").strip())
        for cause, fact in zip(causes, facts, strict=True)
    ]


def list_offers(client: Client, item: UUID) -> list[str]:
    return [each.text for each in read(client, f"/admin/attention/{item}").all("summary")]


def settle(client: Client, item: UUID, name: str, **fields: str) -> Page:
    form = {f"{name}-{field}": value for field, value in fields.items()}
    answer = client.post(f"/admin/attention/{item}/{name}", form, follow=True)
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def is_settled(page: Page) -> bool:
    return page.one("h1").text == "What needs a person"


def read_resolution(school: School, item: UUID) -> tuple[str, UUID]:
    ((words, person),) = school.world.rows(
        "select resolution, resolved_by from attention_items where id = %s", item
    )
    return words, person


def see_run(school: School) -> str:
    return str(school.world.value("select status from partner_lms_enrollments"))


def see_calls(school: School) -> list[tuple[str, str]]:
    return school.world.rows("select kind, status from intents order by id")


def test_nothing(school: School, bob: Client) -> None:
    assert read(bob, "/admin/attention").one("h2").text == "Nothing needs a person"


# Calls.


def test_a_partner_that_refuses(school: School, enrollment: Enrollment, bob: Client) -> None:
    item = school.need_person(enrollment)

    assert list_entries(bob) == [
        ("The partner refused", "Lena Learner, Barber Apprenticeship, Milady RISE")
    ]
    entry = read(bob, f"/admin/attention/{item}")
    assert entry.one("h1").text == "The partner refused"
    assert entry.one("title").text == "The partner refused · Ridgeline Career School"
    assert entry.one("p", class_="hr-lead").text == "Unknown postal code."
    assert list_offers(bob, item) == [
        "Try again",
        "Look up again",
        "Enter the partner's id",
        "Mark completed",
        "Mark failed",
        "Waive",
    ]
    assert is_settled(settle(bob, item, "try_again", note="address corrected"))
    assert see_calls(school) == [("create_account", "queued")]
    assert read_resolution(school, item) == ("tried again: address corrected", school.bob.profile)
    assert "Settled" in read(bob, f"/admin/attention/{item}").one("main").text


def test_one_of_which_nobody_knows_is_looked_up_first(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    item = school.need_person(enrollment, uncertain=True)

    assert list_offers(bob, item)[:3] == ["Look up again", "Enter the partner's id", "Try again"]
    assert (
        "nobody knows whether it was done" in read(bob, f"/admin/attention/{item}").one("main").text
    )
    assert is_settled(settle(bob, item, "look_up"))
    assert school.world.rows("select status, uncertain from intents") == [("unknown", True)]


def test_without_look_up_it_is_not_offered(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    school.change("partner_lms_providers", barbering.theory.provider.id, offers_lookup=False)
    item = school.need_person(enrollment, uncertain=True)

    assert list_offers(bob, item)[:2] == ["Enter the partner's id", "Try again"]
    assert bob.post(f"/admin/attention/{item}/look_up").status_code == 302  # not possible: the list
    assert see_calls(school) == [("create_account", "needs_person")]


def test_the_id_found_at_the_partner_is_entered(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    item = school.need_person(enrollment)
    empty = settle(bob, item, "enter_id", external_id="  ")
    assert is_settled(settle(bob, item, "enter_id", external_id=" stu-17 ", note="on their page"))

    assert (
        "The account's id at the partner: This field is required."
        in empty.one("div", class_="hr-error-summary").text
    )
    assert school.world.column("select external_id from partner_accounts") == ["stu-17"]
    assert see_calls(school) == [("create_account", "done"), ("enroll", "queued")]


def test_the_entry_says_which_of_the_partners_ids_is_meant(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    labels = []
    for id in ("account-17", "enrollment-17"):
        item = school.need_person(enrollment, uncertain=True)
        page = read(bob, f"/admin/attention/{item}")
        (field,) = page.all("input", name="enter_id-external_id")
        labels += [each.text for each in page.all("label", **{"for": field.attributes["id"]})]
        settle(bob, item, "enter_id", external_id=id)

    assert labels == ["The account's id at the partner", "The enrollment's id at the partner"]


def test_an_id_that_somebody_has_is_refused(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    item = school.need_person(enrollment)
    school.world.enroll(school.learner("Ada", "Learner"), barbering.program)
    (call,) = school.world.claim()
    school.world.record(call, external_id="stu-17")
    page = settle(bob, item, "enter_id", external_id="stu-17", note="kept")

    assert (
        "That id already belongs to somebody here."
        in page.one("div", class_="hr-error-summary").text
    )
    assert page.one("textarea", name="enter_id-note").text == "kept"


def test_marked_waived_or_failed_by_hand(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    world = school.world
    item = school.need_person(enrollment)
    settle(bob, item, "complete", completed_on="2026-01-05", note="certificate seen")

    assert school.see(enrollment)["Barber Theory"] == "completed"
    assert world.value("select count(*) from attention_items where resolved_at is null") == 0
    assert "needs_person" not in [status for _, status in see_calls(school)]


@pytest.mark.parametrize("uncertain", [False, True])
def test_a_waiver_settles_the_call_too(
    school: School, enrollment: Enrollment, bob: Client, *, uncertain: bool
) -> None:
    world = school.world
    (call,) = world.claim()
    world.record(call, external_id="stu-1")
    item = school.need_person(enrollment, uncertain=uncertain)
    settle(bob, item, "skip", waiver="administrative", reason="partner closed")

    assert school.see(enrollment)["Barber Theory"] == "skipped"
    left = world.column("select kind from attention_items where resolved_at is null")
    assert left == (["partner_not_told"] if uncertain else [])


def test_marking_settles_a_call_of_which_nobody_knows(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    world = school.world
    (call,) = world.claim()
    world.record(call, external_id="stu-1")
    item = school.need_person(enrollment, uncertain=True)
    settle(bob, item, "complete", completed_on="2026-01-05", note="certificate seen")

    assert school.see(enrollment)["Barber Theory"] == "completed"
    assert world.column("select kind from attention_items where resolved_at is null") == []


def test_a_partner_that_allows_one_enrollment(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    world = school.world
    world.answer_calls()
    old = world.value("select external_enrollment_id from partner_lms_enrollments")
    world.report("course.failed", school.lena_here, barbering.theory)
    world.on_step("retry_step", enrollment, barbering.theory, "again")
    (call,) = world.claim()
    world.record(call, external_id=old)
    item = school.item("call", call.intent)
    offers = list_offers(bob, item)
    settle(bob, item, "continue", note="they said so")

    assert offers[0] == "Go on with the old enrollment"
    assert f"it answered with {old}" in world.value("select cause from attention_items")
    assert school.world.rows(
        "select status, continued from partner_lms_enrollments order by run"
    ) == [("active", True), ("cancelled", False)]


def test_a_partner_that_does_not_let_somebody_go(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    world = school.world
    world.answer_calls()
    world.call("withdraw_enrollment", enrollment.id, "moved")
    item = school.need_person(enrollment)

    assert list_offers(bob, item) == ["Try again", "Take off the list"]
    settle(bob, item, "dismiss", note="told them by phone")
    assert see_run(school) == "cancelled"
    assert read_resolution(school, item) == ("dismissed: told them by phone", school.bob.profile)


# A provider that cannot be called, and several entries at once.


def refuse_all(school: School, count: int, barbering: Barbering) -> UUID:
    """The partner refuses our credentials for so many; return its entry."""
    for number in range(count):
        learner = school.learner(f"Ada{number}", "Waits")
        school.world.enroll(learner, barbering.program)
    for call in school.world.claim():
        school.world.record(call, "needs_person", cause="credentials", error="401: no such key.")
    return school.item("provider_calls", barbering.theory.provider.id)


def test_refused_credentials_are_one_entry_that_says_how_many_wait(
    school: School, barbering: Barbering, bob: Client
) -> None:
    item = refuse_all(school, 27, barbering)
    ((cause, facts),) = list_entries(bob)
    page = read(bob, f"/admin/attention/{item}")
    second = read(bob, page.one("a", rel="next").attributes["href"])

    assert cause == "The partner refuses the credentials that it is called with"
    assert page.one("p", class_="hr-lead").text == "401: no such key."
    assert facts == "27 people wait, Milady RISE"
    assert f"provider configure {barbering.theory.provider.slug}" in page.one("main").text
    assert list_offers(bob, item) == ["Try all of them again"]
    assert [len(each.all("th", scope="row")) for each in (page, second)] == [25, 2]

    assert is_settled(settle(bob, item, "try_all", note="key corrected"))
    assert read_resolution(school, item) == ("tried again: key corrected", school.bob.profile)
    assert {status for _, status in see_calls(school)} == {"queued"}
    assert list_entries(bob) == []


def test_who_waits_for_the_partner_sees_its_entry_on_the_enrollment(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    refuse_all(school, 0, barbering)
    other = school.world.create(school.learner("Bea", "Later"), barbering.program)

    shown = [
        [
            e.text
            for e in read(bob, f"/admin/enrollments/{each.id}").all("p", class_="hr-case__cause")
        ]
        for each in (enrollment, other)
    ]
    assert [len(each) for each in shown] == [1, 0]


def test_an_entry_of_a_partner_for_whom_nobody_waits_any_more(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    item = refuse_all(school, 0, barbering)
    school.world.call("withdraw_enrollment", enrollment.id, "moved")

    assert list_offers(bob, item) == ["Take off the list"]
    assert is_settled(settle(bob, item, "dismiss", note="known"))


def retry_selected(client: Client, *items: UUID) -> Page:
    answer = client.post("/admin/attention/try-again", {"item": items}, follow=True)
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def test_several_entries_are_tried_again_at_once(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    world = school.world
    first = school.need_person(enrollment)
    world.enroll(school.learner("Ada", "Learner"), barbering.program)
    (call,) = world.claim()
    world.record(call, "needs_person", cause="undecidable", error="Perhaps done.", uncertain=True)
    unsure = school.item("call", call.intent)
    provider = refuse_all(school, 2, barbering)
    known = open_item(school, "partner_not_told", enrollment.id)
    page = read(bob, "/admin/attention")
    boxes = {UUID(each.attributes["value"]) for each in page.all("input", name="item")}
    told = retry_selected(bob, first, unsure, provider, known).one("main").text

    assert boxes == {first, provider}
    assert "What is behind 2 entries is tried again." in told
    assert "2 entries were settled meanwhile, or cannot be tried again unseen." in told
    assert [status for _, status in see_calls(school)] == [
        "queued",
        "needs_person",
        "queued",
        "queued",
    ]
    assert read_resolution(school, first) == ("tried again", school.bob.profile)


def test_none_chosen_is_told(school: School, enrollment: Enrollment, bob: Client) -> None:
    school.need_person(enrollment)
    assert "Choose at least one entry." in retry_selected(bob).one("main").text
    assert bob.post("/admin/attention/try-again", {"item": "x"}).status_code == 404
    assert bob.get("/admin/attention/try-again")["Location"] == "/admin/attention"


def test_a_list_without_anything_to_try_has_no_button(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    open_item(school, "partner_not_told", enrollment.id)
    assert read(bob, "/admin/attention").all("form", action="/admin/attention/try-again") == []


def test_nobody_else_tries_again(
    school: School, enrollment: Enrollment, barbering: Barbering
) -> None:
    item = school.need_person(enrollment)
    provider = refuse_all(school, 1, barbering)
    charlie = school.charlie.sign_in(Client())
    retry_selected(charlie, item, provider)

    assert charlie.post(f"/admin/attention/{provider}/try_all").status_code == 404
    lena = school.lena.sign_in(Client())
    assert lena.post("/admin/attention/try-again", {"item": item}).status_code == 403
    assert {status for _, status in see_calls(school)} == {"needs_person"}


# What partners and others reported.


def test_a_partner_that_ended_the_enrollment(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    school.world.answer_calls()
    school.world.report("enrollment.ended", school.lena_here, barbering.theory)
    item = school.item("run", school.world.value("select id from partner_lms_enrollments"))

    assert list_offers(bob, item) == ["Mark completed", "Mark failed", "Waive"]
    settle(bob, item, "fail", failed_on=f"{timezone.localdate()}", note="stopped coming")
    assert school.see(enrollment)["Barber Theory"] == "failed"
    assert list_entries(bob) == []


def test_a_completion_that_was_taken_back(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    school.world.answer_calls()
    school.world.complete(enrollment, barbering.theory)
    school.world.report("completion.revoked", school.lena_here, barbering.theory, reason="regraded")
    run = school.world.value(
        "select id from partner_lms_enrollments where course_id = %s", barbering.theory.id
    )
    item = school.item("completion_revoked", run)
    alice = school.alice.sign_in(Client())

    assert list_entries(bob)[0][0] == "The partner took a completion back"
    (more,) = read(bob, "/admin/attention").all("p", class_="hr-case__more")
    assert more.text.startswith("Regraded.")
    assert list_offers(bob, item) == ["Take off the list"]
    assert list_offers(alice, item) == ["Open again", "Take off the list"]
    assert bob.post(f"/admin/attention/{item}/reopen", {"reopen-reason": "x"}).status_code == 403
    settle(alice, item, "reopen", reason="regraded")
    assert school.see(enrollment)["Barber Theory"] == "in_progress"


def open_item(school: School, kind: str, subject: UUID, **more: Any) -> UUID:
    return school.world.insert(
        "attention_items",
        organization_id=school.organization.id,
        kind=kind,
        subject_id=subject,
        cause=f"About {kind}.",
        **more,
    )


@pytest.mark.parametrize(
    "kind",
    ["partner_not_told", "late_requirement", "reconciliation", "webhook_refused"],
)
def test_what_only_had_to_be_known(
    school: School, enrollment: Enrollment, bob: Client, kind: str
) -> None:
    item = open_item(school, kind, enrollment.id, enrollment_id=enrollment.id)
    missing = settle(bob, item, "dismiss")

    assert list_offers(bob, item) == ["Take off the list"]
    assert "This field is required" in missing.one("div", class_="hr-error-summary").text
    assert is_settled(settle(bob, item, "dismiss", note="known"))
    assert list_entries(bob) == []


def test_whom_a_partner_is_to_be_told_of_stands_in_the_entry(
    school: School, barbering: Barbering, bob: Client
) -> None:
    enrollment = school.world.enroll(school.lena_here, school.program("Safety", barbering.safety))
    school.world.answer_calls(lambda call: {"result": "done", "external_id": f"cs-{call.kind}"})
    school.world.call("withdraw_enrollment", enrollment.id, "moved away")
    item = school.world.value("select id from attention_items where kind = 'partner_not_told'")
    page = read(bob, f"/admin/attention/{item}")
    facts = dict(
        zip([e.text for e in page.all("dt")], [e.text for e in page.all("dd")], strict=True)
    )

    assert facts["Enrollment there"] == "cs-enroll"
    assert facts["Step"] == "OSHA 10 Not completed"


@pytest.mark.parametrize("kind", ["webhook_refused", "reconciliation"])
def test_an_entry_about_a_partners_set_up_says_how_it_ends(
    school: School, barbering: Barbering, bob: Client, kind: str
) -> None:
    provider = barbering.theory.provider
    subject = provider.id
    if kind == "webhook_refused":
        subject = school.world.insert(
            "webhook_endpoints",
            organization_id=school.organization.id,
            provider_id=provider.id,
            kind="partner",
            key=provider.slug,
        )
    page = read(bob, f"/admin/attention/{open_item(school, kind, subject)}")

    assert page.one("code").text == f"handrail provider configure {provider.slug}"
    assert "this entry leaves the list by itself" in page.one("main").text


def test_a_certificate_that_could_not_be_made(school: School, bob: Client) -> None:
    course = school.course("Milady RISE", "Barber Theory")
    enrollment = school.world.enroll(school.lena_here, school.program("Short", course))
    school.world.answer_calls()
    school.world.complete(enrollment, course)
    credential = school.world.value("select id from credentials")
    school.world.admin.execute("delete from pgqueuer")
    school.world.call("store_certificate", credential, None, "No glyph for U+1F600.")
    item = school.item("certificate", credential)

    assert list_offers(bob, item) == [
        "Correct the name",
        "Issue the certificate anew",
        "Make the PDF again",
        "Take off the list",
    ]
    settle(bob, item, "render")
    assert school.world.column("select pdf_status from credentials") == ["pending"]
    assert school.world.rows("select entrypoint, convert_from(payload, 'UTF8') from pgqueuer") == [
        ("render_certificate", str(credential))
    ]
    assert list_entries(bob) == []


def test_a_name_that_no_font_shows_is_corrected_from_its_entry(school: School, bob: Client) -> None:
    course = school.course("Milady RISE", "Barber Theory")
    enrollment = school.world.enroll(school.lena_here, school.program("Short", course))
    school.world.answer_calls()
    school.world.complete(enrollment, course)
    old = school.world.value("select id from credentials")
    school.world.call("store_certificate", old, None, "No glyph for U+1F600.")
    item = school.item("certificate", old)
    form = read(bob, f"/admin/attention/{item}")
    known = [
        form.one("input", name=f"correct-name-{n}_name").attributes["value"]
        for n in ("first", "last")
    ]
    assert known == ["Lena", "Learner"]
    bad = settle(bob, item, "correct-name", first_name="Le\x01na", last_name="L", reason="x")
    assert "control character" in bad.one("div", class_="hr-error-summary").text
    same = settle(bob, item, "correct-name", first_name="Lena", last_name="Learner", reason="x")
    assert "That is the name already." in same.one("div", class_="hr-error-summary").text

    assert is_settled(
        settle(bob, item, "correct-name", first_name="  Lena ", last_name="Lerner", reason="typo")
    )
    rows = school.world.rows(
        "select holder_name, revoked_at is null, revoke_reason, supersedes from credentials order by issued_at"
    )
    assert rows == [
        ("Lena Learner", False, "the name was corrected: typo", None),
        ("Lena Lerner", True, None, old),
    ]
    assert list_entries(bob) == []


# The list.


def test_the_count_stands_in_the_navigation(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    counts = []
    for _ in range(2):
        counts.append(
            [e.text for e in read(bob, "/admin/people").all("span", class_="hr-nav__count")]
        )
        school.need_person(enrollment) if not counts[1:] else None
    school.world.admin.execute(
        "insert into attention_items (organization_id, kind, subject_id, cause) "
        "select %s, 'webhook_refused', uuidv7(), 'x' from generate_series(1, 200)",
        [school.organization.id],
    )
    counts.append([e.text for e in read(bob, "/admin/people").all("span", class_="hr-nav__count")])

    assert counts == [[], ["1"], ["99+"]]


def test_a_long_list_is_leafed_through(school: School, bob: Client) -> None:
    school.world.admin.execute(
        "insert into attention_items (organization_id, kind, subject_id, cause, opened_at) "
        "select %s, 'webhook_refused', uuidv7(), 'Case ' || n, now() - n * interval '1 hour' "
        "from generate_series(1, 30) as n",
        [school.organization.id],
    )
    first = read(bob, "/admin/attention")
    second = read(bob, first.one("a", rel="next").attributes["href"])

    told = [
        each.text for page in (first, second) for each in page.all("p", class_="hr-case__cause")
    ]
    assert told == [f"Case {n}" for n in range(30, 0, -1)]


def test_the_list_costs_the_same_for_one_and_for_three(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    school.need_person(enrollment)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            read(bob, "/admin/attention")
        counts.append(len(captured))
        for first in ("Ada", "Bea"):
            other = school.world.enroll(school.learner(first, "Learner"), barbering.program)
            school.need_person(other)

    assert counts == [9, 9]


def test_nobody_else_sees_or_settles_it(school: School, enrollment: Enrollment) -> None:
    item = school.need_person(enrollment)
    charlie, lena = school.charlie.sign_in(Client()), school.lena.sign_in(Client())

    assert list_entries(charlie) == []
    for client, status in ((charlie, 404), (lena, 403), (Client(), 302)):
        assert client.get(f"/admin/attention/{item}").status_code == status
        for name in ("try_again", "look_up", "enter_id", "continue", "complete", "skip", "dismiss"):
            answer = client.post(f"/admin/attention/{item}/{name}", {f"{name}-note": "x"})
            assert answer.status_code == status
    assert see_calls(school) == [("create_account", "needs_person")]
