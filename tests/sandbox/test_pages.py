"""The pages where a person plays the partner's office or the learner."""

import io
import re
from html.parser import HTMLParser
from urllib.parse import quote, urlsplit

import pypdf
import pytest

from tests.sandbox.partners import (
    CONTRACTS,
    SLUGS,
    act,
    enroll,
    get_account,
    get_enrollment,
    make_config,
    make_email,
    read,
)
from tests.sandbox.process import Reply, Sandbox, Start
from tests.sandbox.receiver import Receiver

OFFICE_BUTTONS = ["start", "progress", "complete", "fail", "unenroll"]


class Page(HTMLParser):
    """What a person finds on a page: its heading, links, buttons, fields and words."""

    VOID = frozenset({"input", "link", "meta"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self.buttons: list[str] = []
        self.fields: list[str] = []
        self.labels: list[str] = []
        self.roles: dict[str, str] = {}
        self.texts: list[str] = []
        self.heading = ""
        self._path: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()
        assert not self._path, f"not closed: {self._path}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in self.VOID:
            self._path.append((tag, given))
        if tag == "button":
            self.buttons.append(given.get("value", ""))
        if tag == "input":
            self.fields.append(given["name"])
        if tag == "label":
            self.labels.append(given["for"])

    def handle_endtag(self, tag: str) -> None:
        assert self._path.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        tag, given = self._path[-1] if self._path else ("", {})
        if tag == "a":
            self.links[data] = given["href"]
        if tag == "h1":
            self.heading = data
        if "role" in given:
            self.roles[given["role"]] = data


def open_page(sandbox: Sandbox, url: str, cookie: str = "", status: int = 200) -> Page:
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    reply = sandbox.send("GET", path, headers={"Cookie": cookie} if cookie else {})
    assert reply.status == status, reply.text
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    return Page(reply.text)


def get_cookie(reply: Reply) -> str:
    assert reply.status == 303, reply.text
    assert {"HttpOnly", "SameSite=Lax"} <= set(reply.headers["set-cookie"].split("; "))
    return reply.headers["set-cookie"].partition(";")[0]


def launch(sandbox: Sandbox, slug: str, account: str, id: str, back: str = "") -> str:
    contract = CONTRACTS[slug]
    fields = {contract.account_id: account, "enrollmentId": id}
    if back:
        fields["returnUrl"] = back
    answer = sandbox.ask(slug, "POST", contract.launch_path, fields).json
    return urlsplit(str(answer[contract.launch_answer[0]])).path


def test_the_first_page_leads_to_the_partners(sandbox: Sandbox) -> None:
    page = open_page(sandbox, "/")
    assert set(page.links.values()) == {f"/{slug}/" for slug in SLUGS}


@pytest.mark.parametrize("slug", SLUGS)
def test_the_office_sees_people_and_their_enrollments(sandbox: Sandbox, slug: str) -> None:
    email = make_email()
    account = get_account(sandbox, slug, email)
    id = enroll(sandbox, slug, account).json["enrollmentId"]
    page = open_page(sandbox, f"/{slug}/")
    assert page.links[id] == f"/{slug}/enrollments/{id}"
    course = CONTRACTS[slug].course
    assert f"Alice O'Brien-Núñez E-mail {email} Account {account}" in page.text
    assert f"{id} {course}: not started, 0%" in page.text
    assert set(page.labels) == set(page.fields)


@pytest.mark.parametrize("by", ["email", "EMAIL", "account", "enrollment", "name"])
def test_search(sandbox: Sandbox, by: str) -> None:
    email = make_email("Zoë")
    contract = CONTRACTS["nrf"]
    name = f"Zoë{email.partition('.')[2].partition('@')[0]}Ünal"
    fields = {"firstName": name, "lastName": "", "email": email} | contract.account_fields
    account = sandbox.ask("nrf", "POST", contract.account_path, fields).json["learnerId"]
    id = enroll(sandbox, "nrf", account).json["enrollmentId"]
    get_enrollment(sandbox, "nrf")
    words = {
        "email": email,
        "EMAIL": email.upper(),
        "account": account,
        "enrollment": id,
        "name": name.upper(),
    }
    page = open_page(sandbox, f"/nrf/?q={quote(words[by])}")
    assert [it for it in page.links if it.startswith("NRF-E-")] == [id]
    assert "Nobody is here." in open_page(sandbox, "/nrf/?q=%25_nothing").text


def test_the_list_is_paged(start: Start) -> None:
    sandbox = start(make_config({}))
    emails = [f"person{at}@example.org" for at in range(60)]
    for email in emails:
        get_account(sandbox, "hsi", email)
    seen: list[str] = []
    url = "/hsi/?q=person"
    for _ in range(3):
        page = open_page(sandbox, url)
        found = re.findall(r"person\d+@example.org", page.text)
        assert len(found) <= 25
        seen += found
        url = page.links.get("Older", "")
    assert url == ""
    assert seen == emails[::-1]


def test_the_office_plays_a_course_by_hand(sandbox: Sandbox, shared_receiver: Receiver) -> None:
    email = make_email()
    id = get_enrollment(sandbox, "careersafe", email=email)
    path = f"/careersafe/enrollments/{id}"
    page = open_page(sandbox, path)
    assert (page.heading, page.buttons) == ("The OSHA10-GI", OFFICE_BUTTONS)
    assert f"Enrollment {id}" in page.text
    for action, words, status in (
        ("progress", "Progress was made.", "in progress Progress 25%"),
        ("progress", "Progress was made.", "in progress Progress 50%"),
        ("fail", "The course was failed.", "failed"),
        ("complete", "The course is finished.", "completed Progress 100%"),
        ("revoke", "The completion was taken back.", "in progress"),
        ("unenroll", "The person was unenrolled.", "ended (unenrolled)"),
        ("reopen", "The course starts again.", "not started Progress 0%"),
    ):
        reply = sandbox.post_form(path, action=action)
        assert (reply.status, reply.headers["location"]) == (303, f"{path}?done={action}")
        page = open_page(sandbox, reply.headers["location"])
        assert page.roles["status"] == words
        assert f"Status {status}" in page.text
    events = [it.event for it in shared_receiver.wait(id, 9)]
    assert events == [
        "enrollment.created",
        "progress.updated",
        "progress.updated",
        "course.failed",
        "course.completed",
        "certificate.issued",
        "completion.revoked",
        "enrollment.ended",
        "enrollment.created",
    ]
    sandbox.wait_idle()
    assert "completion.revoked" in open_page(sandbox, path).text
    by_hand = [it["operation"] for it in sandbox.list_all("ledger", enrollment=id)][1:]
    assert by_hand == ["progress", "progress", "fail", "complete", "revoke", "unenroll", "reopen"]


def test_what_is_not_possible_is_said_on_the_page(sandbox: Sandbox) -> None:
    id = get_enrollment(sandbox, "careersafe")
    reply = sandbox.post_form(f"/careersafe/enrollments/{id}", action="revoke")
    assert reply.status == 409
    words = "Not possible while it is active; possible: completed."
    assert Page(reply.text).roles["alert"] == words
    reply = sandbox.post_form(f"/careersafe/enrollments/{id}")
    assert reply.status == 404
    page = open_page(sandbox, "/careersafe/enrollments/CSF-E-1", status=404)
    assert page.text.endswith("There is no enrollment CSF-E-1. People")


def test_the_office_takes_and_gives_the_right_to_read(start: Start) -> None:
    sandbox = start(make_config({}))
    id = get_enrollment(sandbox, "nrf")
    assert open_page(sandbox, "/nrf/").roles == {}
    assert sandbox.control("POST", "nrf/reading/off")["reading_off"] == ["nrf"]
    path = f"{CONTRACTS['nrf'].enrollment_path}/{id}"
    for each in (path + CONTRACTS["nrf"].progress_path, f"{path}/certificate"):
        refused = sandbox.ask("nrf", "GET", each)
        assert (refused.status, refused.json["message"]) == (
            403,
            "This key may not read progress or certificates.",
        )
    get_enrollment(sandbox, "nrf")  # enrolling is another right
    page = open_page(sandbox, "/nrf/")
    assert page.roles == {"alert": "The school's key may not read progress or certificates."}

    assert sandbox.send("POST", "/nrf/reading").status == 303
    assert open_page(sandbox, "/nrf/").roles == {}
    assert sandbox.ask("nrf", "GET", path + CONTRACTS["nrf"].progress_path).status == 200
    assert sandbox.control("GET", "status")["reading_off"] == []


def test_the_words_of_an_exam_and_of_a_screening(sandbox: Sandbox) -> None:
    exam = get_enrollment(sandbox, "certiport")
    assert "Take a practice test" in open_page(sandbox, f"/certiport/enrollments/{exam}").text
    order = get_enrollment(sandbox, "nds", course="NDS-5PANEL")
    text = open_page(sandbox, f"/nds/enrollments/{order}").text
    assert "Confirm the order Collect the sample Report: negative Report: positive" in text


def test_a_launch_url_opens_the_learners_page_once(
    sandbox: Sandbox, shared_receiver: Receiver
) -> None:
    account = get_account(sandbox, "milady")
    id = enroll(sandbox, "milady", account).json["enrollmentId"]
    url = launch(sandbox, "milady", account, id, "https://school.test/student/progress?a=1&b=2")
    opened = sandbox.send("GET", url)
    cookie = get_cookie(opened)
    assert opened.headers["location"] == f"/milady/learn/{id}"
    assert "was used or is too old" in open_page(sandbox, url, status=410).text

    page = open_page(sandbox, f"/milady/learn/{id}", cookie)
    assert (page.heading, page.buttons) == ("The MS-BARB", OFFICE_BUTTONS[:4])
    assert page.links["Back to your school"] == "https://school.test/student/progress?a=1&b=2"
    for action in ("progress", "complete"):
        reply = sandbox.post_form(f"/milady/learn/{id}", cookie, action=action)
        assert reply.headers["location"] == f"/milady/learn/{id}?done={action}"
    assert read(sandbox, "milady", id)["status"] == "completed"
    shared_receiver.wait(id, 4)
    courses = open_page(sandbox, "/milady/my", cookie)
    assert courses.text.endswith("The MS-BARB : completed")


def test_a_launch_url_is_short_lived(start: Start) -> None:
    sandbox = start(make_config({}, launch_seconds=0))
    account = get_account(sandbox, "nrf")
    id = enroll(sandbox, "nrf", account).json["enrollmentId"]
    open_page(sandbox, launch(sandbox, "nrf", account, id), status=410)
    open_page(sandbox, "/nrf/launch/guessed", status=410)


def test_a_launch_url_of_one_partner_is_nothing_at_another(sandbox: Sandbox) -> None:
    account = get_account(sandbox, "milady")
    id = enroll(sandbox, "milady", account).json["enrollmentId"]
    url = launch(sandbox, "milady", account, id)
    open_page(sandbox, url.replace("/milady/", "/hsi/"), status=410)
    assert sandbox.send("GET", url).status == 303


def test_charlie_sees_and_does_nothing_of_alice(sandbox: Sandbox) -> None:
    alices = get_enrollment(sandbox, "milady")
    charlie = make_email("charlie")
    get_account(sandbox, "milady", charlie)
    cookie = get_cookie(sandbox.post_form("/milady/login", email=charlie))
    path = f"/milady/learn/{alices}"
    assert "There is no enrollment" in open_page(sandbox, path, cookie, status=404).text
    assert sandbox.post_form(path, cookie, action="complete").status == 404
    for stranger in ("", "sandbox_milady=guessed", cookie.replace("milady", "hsi")):
        reply = sandbox.post_form(path, stranger, action="complete")
        assert (reply.status, reply.headers["location"]) == (303, "/milady/login")
    assert read(sandbox, "milady", alices)["status"] == "not_started"


def test_a_learner_can_neither_revoke_nor_unenroll(sandbox: Sandbox) -> None:
    email = make_email()
    id = get_enrollment(sandbox, "hsi", email=email)
    cookie = get_cookie(sandbox.post_form("/hsi/login", email=email.upper()))
    assert sandbox.post_form(f"/hsi/learn/{id}", cookie, action="unenroll").status == 409
    act(sandbox, "hsi", id, "complete")
    assert sandbox.post_form(f"/hsi/learn/{id}", cookie, action="revoke").status == 409
    assert read(sandbox, "hsi", id)["status"] == "completed"


def test_sign_in_with_an_unknown_address_keeps_what_was_typed(sandbox: Sandbox) -> None:
    assert open_page(sandbox, "/hsi/login").fields == ["email"]
    reply = sandbox.post_form("/hsi/login", email="nobody@example.org")
    assert reply.status == 422
    assert Page(reply.text).roles["alert"].startswith("No account has this e-mail address.")
    assert 'value="nobody@example.org"' in reply.text
    reply = sandbox.send("GET", "/hsi/my")
    assert (reply.status, reply.headers["location"]) == (303, "/hsi/login")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_forms_of_other_sites_are_refused(sandbox: Sandbox, headers: dict[str, str]) -> None:
    id = get_enrollment(sandbox, "milady")
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    path = f"/milady/enrollments/{id}"
    reply = sandbox.send("POST", path, body=b"action=complete", headers=headers)
    assert reply.status == 403
    assert Page(reply.text).roles["alert"] == "This form was sent from another site."
    assert read(sandbox, "milady", id)["status"] == "not_started"


def test_forms_of_its_own_pages_are_taken(sandbox: Sandbox) -> None:
    id = get_enrollment(sandbox, "milady")
    headers = {
        "Origin": f"http://127.0.0.1:{sandbox.port}",
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    path = f"/milady/enrollments/{id}"
    assert sandbox.send("POST", path, body=b"action=start", headers=headers).status == 303


def test_names_are_text_and_never_html(sandbox: Sandbox) -> None:
    contract = CONTRACTS["nrf"]
    email = make_email()
    fields = {"firstName": "<b>Bold</b>\"'", "lastName": "<script>", "email": email}
    fields |= contract.account_fields
    account = sandbox.ask("nrf", "POST", contract.account_path, fields).json["learnerId"]
    id = enroll(sandbox, "nrf", account).json["enrollmentId"]
    for path in (f"/nrf/?q={email}", f"/nrf/enrollments/{id}", '/nrf/?q="><script>'):
        reply = sandbox.send(
            "GET", path.replace("<", "%3C").replace(">", "%3E").replace('"', "%22")
        )
        assert "<script>" not in reply.text
        assert "<b>" not in reply.text
        Page(reply.text)


def test_the_certificate_is_a_pdf_and_can_be_verified(sandbox: Sandbox) -> None:
    id = get_enrollment(sandbox, "hsi")
    act(sandbox, "hsi", id, "complete", at="2026-05-28T20:26:40Z")
    certificate = sandbox.ask("hsi", "GET", f"/api/v1/enrollments/{id}/certificate").json
    pdf = sandbox.send("GET", urlsplit(certificate["downloadUrl"]).path)
    assert (pdf.status, pdf.headers["content-type"]) == (200, "application/pdf")
    text = pypdf.PdfReader(io.BytesIO(pdf.raw)).pages[0].extract_text()
    assert "Alice O’Brien-Núñez" in text.replace("'", "’")
    assert certificate["certificateNumber"] in text
    page = open_page(sandbox, certificate["verificationUrl"])
    assert page.roles["status"] == "This certificate is valid."
    assert "Valid until 2028-05-28" in page.text

    act(sandbox, "hsi", id, "revoke")
    page = open_page(sandbox, certificate["verificationUrl"])
    assert page.roles["alert"] == "This certificate was taken back."
    assert sandbox.send("GET", urlsplit(certificate["downloadUrl"]).path).status == 410
    assert sandbox.send("GET", "/hsi/certificates/guessed.pdf").status == 404


def test_an_error_is_a_page_for_people(sandbox: Sandbox) -> None:
    assert open_page(sandbox, "/nobody", status=404).heading == "That did not work"
    assert sandbox.send("GET", "/healthz").text == "ok\n"
    assert sandbox.send("GET", "/style.css").headers["content-type"].startswith("text/css")
