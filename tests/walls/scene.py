"""Two organizations with rows in every table.

Alice owns the first, Bob helps there, Ada and Grace learn there; Charlie owns the second and has no
access to the first.
"""

from uuid import UUID

from tests.factories import (
    Course,
    Electives,
    Enrollment,
    Learner,
    Organization,
    Program,
    World,
    claims_of,
)


class School:
    """One organization: its people have completed, are under way, and wait for a person."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.organization: Organization = world.organization()
        self.owner: UUID = world.profile(self.organization, "owner")
        self.helper: UUID = world.profile(self.organization, "staff")
        self.ada_profile: UUID = world.profile()
        self.grace_profile: UUID = world.profile()
        self.ada: Learner = world.learner(self.organization, profile=self.ada_profile)
        self.grace: Learner = world.learner(self.organization, profile=self.grace_profile)
        partner = world.provider(self.organization, credentials=b"k1:" + bytes(40))
        self.first, self.a, self.b = courses = world.courses(partner, 3)
        self.program: Program = world.program(
            self.organization, self.first, Electives(1, courses[1:])
        )
        self.other: Program = world.program(self.organization, self.first)
        self.draft: UUID = world.insert(
            "program_versions",
            organization_id=self.organization.id,
            program_id=self.program.id,
            number=2,
        )
        self.under_way: Enrollment = world.enroll(self.ada, self.program)
        self.completed: Enrollment = world.enroll(self.grace, self.other)
        self._finish(self.completed)
        self.waiting: Enrollment = world.create(self.grace, self.program)
        self.intent: UUID = self._ask_person()
        self.run, self.account = self._find_run()
        self._add_papers()
        self._add_webhooks(partner.id)

    def _finish(self, enrollment: Enrollment) -> None:
        world = self._world
        for call in world.claim():
            if world.value(
                "select learner_id = %s from partner_accounts a join intents i on i.partner_account_id = a.id "
                "where i.id = %s",
                enrollment.learner.id,
                call.intent,
            ):
                world.record(call, external_id=f"id-{call.intent}")
            else:
                world.record(call, "failed", after_seconds=0)
        world.complete(enrollment, self.first)

    def _ask_person(self) -> UUID:
        (call,) = (each for each in self._world.claim() if each.kind == "create_account")
        self._world.record(call, "needs_person", cause="undecidable", error="?", uncertain=True)
        return call.intent

    def _find_run(self) -> tuple[UUID, UUID]:
        ((run, account),) = self._world.rows(
            "select id, partner_account_id from partner_lms_enrollments where learner_id = %s",
            self.ada.id,
        )
        return run, account

    def _add_papers(self) -> None:
        world = self._world
        paper = {"external_id": "c", "number": "1"}
        for learner in (self.ada, self.grace):
            world.report("certificate.issued", learner, self.first, certificate=paper)
            world.report("progress.updated", learner, self.first, sensitive_result="negative")
        (self.credential,) = world.column(
            "select id from credentials where organization_id = %s", self.organization.id
        )
        world.call("store_certificate", self.credential, b"%PDF", None)
        self.item: UUID = world.value(
            "select id from attention_items where subject_id = %s", self.intent
        )

    def _add_webhooks(self, provider: UUID) -> None:
        world, organization = self._world, self.organization.id
        endpoint = world.insert(
            "webhook_endpoints",
            key=self.organization.slug,
            kind="partner",
            organization_id=organization,
            provider_id=provider,
            secret=b"k1:" + bytes(40),
        )
        common = {"endpoint_id": endpoint, "organization_id": organization, "event_id": "1"}
        self.event: UUID = world.insert(
            "webhook_events",
            provider_id=provider,
            digest=b"1",
            body=b"{}",
            status="needs_attention",
            reason="?",
            **common,
        )
        self.conflict: UUID = world.insert(
            "webhook_event_conflicts", webhook_event_id=self.event, digest=b"2", **common
        )
        world.insert(
            "webhook_event_decisions",
            webhook_event_id=self.event,
            organization_id=organization,
            decision="replay",
            from_status="needs_attention",
            from_reason="?",
            reason="again",
        )

    def step(self, enrollment: Enrollment, course: Course) -> UUID:
        return self._world.step_id(enrollment, course)


class Scene:
    """Alice's school and Charlie's, and everybody's claims."""

    def __init__(self, world: World) -> None:
        self.alices = School(world)
        self.charlies = School(world)
        self.claims: dict[str, dict[str, str]] = {
            "Alice": claims_of(self.alices.organization, "owner", self.alices.owner),
            "Bob": claims_of(self.alices.organization, "staff", self.alices.helper),
            "Charlie": claims_of(self.charlies.organization, "owner", self.charlies.owner),
            "Ada": claims_of(None, None, self.alices.ada_profile),
            "Grace": claims_of(None, None, self.alices.grace_profile),
        }
