"""Takes a catalog over: whole or not at all, in one transaction; a repeat changes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max

from handrail.organizations.actions import find_organization_problems, save_organization
from handrail.organizations.models import Organization
from handrail.partners.actions import ProviderRefused, save_provider
from handrail.partners.models import Course, Provider
from handrail.partners.url_rules import find_link_problem
from handrail.programs.catalog_file import (
    Catalog,
    CatalogRefused,
    CourseFacts,
    ProgramFacts,
    StepFacts,
)
from handrail.programs.models import Program, ProgramStep, ProgramVersion

Courses = Mapping[tuple[str, str], Course]
"""By the provider's slug and the course's code."""


@dataclass(slots=True)
class CatalogReport:
    """What became of the file's parts; each list holds slugs or codes, in the file's order."""

    organization: Organization
    organization_became: str
    created: dict[str, list[str]] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)
    published: list[tuple[str, int]] = field(default_factory=list)
    """Programs with the number of their new version."""

    def note(self, kind: str, name: str, became: str) -> None:
        """Keep what became of one thing: "created", "changed" or "same"."""
        if became != "same":
            kept = self.created if became == "created" else self.changed
            kept.setdefault(kind, []).append(name)

    @property
    def is_new(self) -> bool:
        """Whether anything was changed at all."""
        return bool(
            self.created or self.changed or self.published or self.organization_became != "same"
        )


def import_catalog(catalog: Catalog) -> CatalogReport:
    """Create and update organization, providers, courses and programs of a catalog.

    A program gets a new published version when its steps differ from those of its newest
    published one; enrollments stay with theirs. What the file does not name stays as it is.

    Raises:
        CatalogRefused: nothing was changed; with every problem found.
    """
    problems = list(_find_problems(catalog))
    if problems:
        raise CatalogRefused(problems)
    with transaction.atomic():
        organization, became = save_organization(catalog.organization)
        report = CatalogReport(organization, became)
        for facts in catalog.providers:
            try:
                report.note("providers", facts.slug, save_provider(organization, facts))
            except ProviderRefused as error:
                problems.append(f"provider {facts.slug}: {error}")
        if problems:
            raise CatalogRefused(problems)
        courses = _save_courses(organization, catalog, report)
        for program in catalog.programs:
            _save_program(organization, program, courses, report)
    return report


def _find_problems(catalog: Catalog) -> Iterator[str]:
    for name, problem in find_organization_problems(catalog.organization).items():
        yield f"organization, {name}: {problem}"
    for course in catalog.courses:
        if course.link_url and (problem := find_link_problem(course.link_url)):
            yield f"course {course.code}, link_url: {problem}"


def _save_courses(organization: Organization, catalog: Catalog, report: CatalogReport) -> Courses:
    providers = {each.slug: each for each in Provider.objects.filter(organization=organization)}
    present = {
        (each.provider.slug, each.code): each
        for each in Course.objects.filter(organization=organization).select_related("provider")
    }
    for facts in catalog.courses:
        course = present.get((facts.provider, facts.code))
        became = "same"
        if course is None:
            became = "created"
            provider = providers[facts.provider]
            course = Course(organization=organization, provider=provider, code=facts.code)
        if _update(course, facts):
            became = "created" if became == "created" else "changed"
        if became != "same":
            course.save(force_insert=became == "created")
        present[facts.provider, facts.code] = course
        report.note("courses", facts.code, became)
    return present


def _update(course: Course, facts: CourseFacts) -> bool:
    """Write the facts into the course; return whether they differed."""
    wanted = {
        "title": facts.title,
        "kind": facts.kind,
        "hours": facts.hours,
        "credential_name": facts.credential,
        "valid_months": facts.valid_months,
        "link_url": course.link_url if facts.link_url is None else facts.link_url,
    }
    differing = [name for name, value in wanted.items() if getattr(course, name) != value]
    for name in differing:
        setattr(course, name, wanted[name])
    return bool(differing)


def _save_program(
    organization: Organization, facts: ProgramFacts, courses: Courses, report: CatalogReport
) -> None:
    program = Program.objects.filter(organization=organization, slug=facts.slug).first()
    became = "same"
    if program is None:
        became = "created"
        program = Program(organization=organization, slug=facts.slug)
    elif (program.title, program.tuition_cents) != (facts.title, facts.tuition_cents):
        became = "changed"
    program.title, program.tuition_cents = facts.title, facts.tuition_cents
    if became != "same":
        program.save(force_insert=became == "created")
    report.note("programs", facts.slug, became)
    if facts.steps != _read_newest_steps(program):
        number = _publish(organization, program, facts.steps, courses)
        report.published.append((facts.slug, number))


def _read_newest_steps(program: Program) -> tuple[StepFacts, ...]:
    """The steps of the newest published version; none when there is none."""
    newest = (
        ProgramVersion.objects.filter(program=program, published_at__isnull=False)
        .order_by("-number")
        .first()
    )
    if newest is None:
        return ()
    steps = ProgramStep.objects.filter(program_version=newest).select_related("provider", "course")
    found = (
        StepFacts(
            step.sequence_order,
            step.provider.slug,
            step.course.code,
            step.elective_choose,
            step.demands_new_run,
        )
        for step in steps
    )
    return tuple(sorted(found, key=StepFacts.get_place))


def _publish(
    organization: Organization, program: Program, steps: tuple[StepFacts, ...], courses: Courses
) -> int:
    """Make a version of these steps and publish it; return its number."""
    newest = ProgramVersion.objects.filter(program=program).aggregate(number=Max("number"))
    number = (newest["number"] or 0) + 1
    version = _make_version(organization, program, number)
    ProgramStep.objects.bulk_create(
        ProgramStep(
            organization=organization,
            program_version_id=version,
            provider_id=courses[step.provider, step.course].provider_id,
            course=courses[step.provider, step.course],
            sequence_order=step.order,
            required=step.required,
            elective_choose=step.choose,
            demands_new_run=step.new_run,
        )
        for step in steps
    )
    with connection.cursor() as cursor:
        cursor.execute("select publish_program_version(%s)", [version])
    return number


def _make_version(organization: Organization, program: Program, number: int) -> UUID:
    # Not by the model: nobody but publish_program_version() may name published_at.
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into program_versions (organization_id, program_id, number)"
            " values (%s, %s, %s) returning id",
            [organization.id, program.id, number],
        )
        (version,) = cursor.fetchone() or (None,)
    if not isinstance(version, UUID):
        raise TypeError("the database returned no id")
    return version
