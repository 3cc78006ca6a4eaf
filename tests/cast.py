"""The people of page tests, and a school with somebody at every stage.

Alice owns the school, Bob helps there, Charlie owns another school and has no access here; Lena
learns. Made with `World` in a committed database; everybody signs in with `PASSWORD`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import MD5PasswordHasher, ScryptPasswordHasher
from django.test import Client

from tests.factories import Course, Electives, Enrollment, Learner, Organization, Program, World

PASSWORD = "correct horse battery staple"


class QuickScrypt(ScryptPasswordHasher):
    """What production reads, at a price that a test can pay; a sign-in makes it strong."""

    work_factor = 2


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in."""

    profile: UUID
    email: str

    def sign_in(self, client: Client) -> Client:
        """Sign in by the page; the client is then this person's."""
        answer = client.post("/accounts/login/", {"login": self.email, "password": PASSWORD})
        assert (answer.status_code, answer.headers.get("Location")) == (302, "/")
        return client


class School:
    """A school with Alice (owner), Bob (staff) and Lena (learner), and Charlie's next to it."""

    def __init__(self, world: World, *, production: bool = False) -> None:
        hasher = QuickScrypt() if production else MD5PasswordHasher()
        self._hash = hasher.encode(PASSWORD, "salt")
        self.world = world
        self.organization = self.name(world.organization(), "Ridgeline Career School")
        self.other = self.name(world.organization(), "Charlie's School")
        self.alice = self.person("alice", self.organization, "owner")
        self.bob = self.person("bob", self.organization, "staff")
        self.charlie = self.person("charlie", self.other, "owner")
        self.lena = self.person("lena")
        self.lena_here = self.learner("Lena", "Learner", profile=self.lena.profile)

    def name(self, organization: Organization, name: str, **more: Any) -> Organization:
        self.change("organizations", organization.id, name=name, **more)
        return organization

    def change(self, table: str, id: UUID, **values: Any) -> None:
        """Change a row as the superuser."""
        settings = ", ".join(f"{column} = %s" for column in values)
        self.world.admin.execute(
            f"update {table} set {settings} where id = %s".encode(), [*values.values(), id]
        )

    def person(
        self, name: str, organization: Organization | None = None, role: str | None = None
    ) -> Person:
        """Somebody who can sign in, with a role in an organization."""
        profile = self.world.profile(organization, role)
        email = f"{name}@example.org"
        self.change("profiles", profile, email=email, name=name.title(), password=self._hash)
        return Person(profile, email)

    def learner(
        self,
        first: str,
        last: str,
        *,
        organization: Organization | None = None,
        profile: UUID | None = None,
    ) -> Learner:
        learner = self.world.learner(organization or self.organization, profile=profile)
        self.change("learners", learner.id, first_name=first, last_name=last)
        return learner

    def course(self, partner: str, title: str, **provider: Any) -> Course:
        """A course at a partner of its own."""
        made = self.world.provider(self.organization, **provider)
        self.change("partner_lms_providers", made.id, name=partner)
        course = self.world.course(made)
        self.change("partner_lms_courses", course.id, title=title)
        return course

    def program(self, title: str, *stages: Any) -> Program:
        program = self.world.program(self.organization, *stages)
        self.change("programs", program.id, title=title)
        return program

    def barbering(self) -> "Barbering":
        """A program of four stages: a course, a link, two of three electives, a screening."""
        milady = self.course("Milady RISE", "Barber Theory")
        jri = self.course(
            "Job Ready Indy", "Work Readiness", mode="link", link_url="https://jri.example/in"
        )
        safety = self.course("CareerSafe", "OSHA 10", unenroll=False)
        office = self.course("Certiport", "Office Basics")
        retail = self.course("NRF", "Customer Service")
        screening = self.course("NDS", "Drug Screening", unenroll=False)
        self.change("partner_lms_courses", screening.id, kind="screening")
        electives = Electives(2, [safety, office, retail])
        program = self.program("Barber Apprenticeship", milady, jri, electives, screening)
        return Barbering(program, milady, jri, safety, office, retail, screening)

    def age(self, enrollment: Enrollment, days: int) -> None:
        """Let everything about an enrollment's steps have happened so many days earlier."""
        earlier = timedelta(days=days)
        self.world.admin.execute(
            "update enrollment_steps set updated_at = updated_at - %s, started_at = started_at - %s "
            "where enrollment_id = %s",
            [earlier, earlier, enrollment.id],
        )

    def need_person(self, enrollment: Enrollment, **facts: Any) -> UUID:
        """Let the one call that is due end as one that needs a person; return the attention entry."""
        (call,) = self.world.claim()
        given = {"cause": "refused", "error": "The partner refused: unknown postal code."}
        assert self.world.record(call, "needs_person", **(given | facts))
        return self.item("call", call.intent)

    def item(self, kind: str, subject: UUID) -> UUID:
        """The open entry of the attention list about that."""
        found = self.world.value(
            "select id from attention_items where kind = %s and subject_id = %s and resolved_at is null",
            kind,
            subject,
        )
        assert isinstance(found, UUID)
        return found

    def see(self, enrollment: Enrollment) -> Mapping[str, str]:
        """Status of each step by the course's title."""
        rows = self.world.rows(
            "select c.title, s.status from enrollment_steps s join partner_lms_courses c on c.id = s.course_id "
            "where s.enrollment_id = %s",
            enrollment.id,
        )
        return dict(rows)


@dataclass(frozen=True, slots=True)
class Barbering:
    """The program of `School.barbering` and its courses."""

    program: Program
    theory: Course
    readiness: Course
    safety: Course
    office: Course
    retail: Course
    screening: Course
