"""A catalog as a TOML file: organization, providers, courses, programs.

The format stands in docs/how-to/import-a-catalog.md. Reading checks everything that needs no
database and tells all problems together.
"""

import tomllib
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal

from handrail.core.refusal import Refusal
from handrail.core.toml_tables import Table
from handrail.organizations.actions import OrganizationFacts
from handrail.partners.actions import MODES, ProviderFacts
from handrail.partners.registry import load_adapters
from handrail.partners.signatures import SCHEMES

COURSE_KINDS = ("course", "exam", "screening", "orientation")
MOST_HOURS = 99_999.99
MOST_CENTS = 10**12


class CatalogRefused(Refusal):
    """Nothing was taken over; `problems` says, one sentence each, where and what to change."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        title = "The catalog cannot be used; nothing was changed:"
        super().__init__("\n".join([title, *(f"- {each}" for each in problems)]))


@dataclass(frozen=True, slots=True)
class CourseFacts:
    """What a provider teaches; `code` is the partner's own. `link_url` None: leave what is set."""

    provider: str
    code: str
    title: str
    kind: str = "course"
    hours: Decimal = Decimal(0)
    credential: str = ""
    valid_months: int | None = None
    link_url: str | None = None


@dataclass(frozen=True, slots=True)
class StepFacts:
    """A program step; `choose` is N of a stage of electives, None for a required step."""

    order: int
    provider: str
    course: str
    choose: int | None = None
    new_run: bool = False

    @property
    def required(self) -> bool:
        """Whether everybody must complete it."""
        return self.choose is None

    def get_place(self) -> tuple[int, str, str]:
        """By what steps are put in order, the same in a file and in the database."""
        return self.order, self.provider, self.course


@dataclass(frozen=True, slots=True)
class ProgramFacts:
    """A program with the steps of its newest version."""

    slug: str
    title: str
    tuition_cents: int
    steps: tuple[StepFacts, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """A whole file, consistent in itself."""

    organization: OrganizationFacts
    providers: tuple[ProviderFacts, ...] = ()
    courses: tuple[CourseFacts, ...] = ()
    programs: tuple[ProgramFacts, ...] = ()


@dataclass(slots=True)
class _Reading:
    problems: list[str] = field(default_factory=list)
    providers: dict[str, ProviderFacts] = field(default_factory=dict)
    courses: dict[tuple[str, str], CourseFacts] = field(default_factory=dict)
    programs: dict[str, ProgramFacts] = field(default_factory=dict)


def read_catalog(text: bytes) -> Catalog:
    """Read and check a catalog.

    Raises:
        CatalogRefused: with every problem found, each with its place.
    """
    try:
        raw = tomllib.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise CatalogRefused([f"line {line} is not UTF-8; save the file as UTF-8"]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CatalogRefused([f"it is no TOML: {error}"]) from error
    reading = _Reading()
    top = Table(raw, "", reading.problems)
    organization = _read_organization(top.take_table("organization"))
    for table in top.take_tables("providers", each="provider"):
        _read_provider(table, reading)
    for table in top.take_tables("courses", each="course"):
        _read_course(table, reading)
    for table in top.take_tables("programs", each="program"):
        _read_program(table, reading)
    top.finish()
    if reading.problems:
        raise CatalogRefused(reading.problems)
    return Catalog(
        organization,
        tuple(reading.providers.values()),
        tuple(reading.courses.values()),
        tuple(reading.programs.values()),
    )


def _read_organization(table: Table) -> OrganizationFacts:
    facts = OrganizationFacts(
        slug=table.take_slug(),
        name=table.take_text("name"),
        learner_word=table.take_text("learner_word", default="student"),
        time_zone=table.take_text("time_zone", default="UTC"),
    )
    table.finish()
    return facts


def _read_provider(table: Table, reading: _Reading) -> None:
    slug = table.take_slug()
    table.place = f"provider {slug}" if slug else table.place
    facts = ProviderFacts(
        slug=slug,
        name=table.take_text("name"),
        adapter=table.take_choice("adapter", tuple(sorted(load_adapters()))),
        mode=table.take_choice("mode", MODES),
        webhook_scheme=table.take_choice("webhook_scheme", tuple(SCHEMES), default="") or None,
    )
    table.finish()
    if slug in reading.providers:
        table.complain("", "is there twice")
    reading.providers[slug] = facts


def _read_course(table: Table, reading: _Reading) -> None:
    code = table.take_text("code")
    table.place = f"course {code}" if code else table.place
    provider = table.take_text("provider")
    if provider and provider not in reading.providers:
        table.complain("provider", f"{provider!r} is not among [[providers]]")
    facts = CourseFacts(
        provider=provider,
        code=code,
        title=table.take_text("title"),
        kind=table.take_choice("kind", COURSE_KINDS, default="course"),
        hours=round(Decimal(str(table.take_number("hours", most=MOST_HOURS, default=0))), 2),
        credential=table.take_text("credential", default=""),
        valid_months=table.take_whole("valid_months", least=1, most=1200, default=None),
        link_url=table.take_text("link_url", default="") if "link_url" in table.raw else None,
    )
    table.finish()
    if (provider, code) in reading.courses:
        table.complain("", f"is there twice at {provider}")
    reading.courses[provider, code] = facts


def _read_program(table: Table, reading: _Reading) -> None:
    slug = table.take_slug()
    table.place = f"program {slug}" if slug else table.place
    title = table.take_text("title")
    cents = table.take_whole("tuition_cents", least=0, most=MOST_CENTS, default=0)
    choose = _read_electives(table)
    before = len(table.problems)
    read = [_read_step(step, reading) for step in table.take_tables("steps", each="step")]
    steps = [step for step in read if step is not None]
    if not read:
        table.complain("steps", "a program needs at least one")
    table.finish()
    if slug in reading.programs:
        table.complain("", "is there twice")
    if len(table.problems) == before:
        steps = _join_electives(table, steps, choose)
    reading.programs[slug] = ProgramFacts(
        slug, title, cents or 0, tuple(sorted(steps, key=StepFacts.get_place))
    )


def _read_electives(table: Table) -> dict[int, int]:
    """N of each stage of electives, by its order."""
    found: dict[int, int] = {}
    for each in table.take_tables("electives", each="electives"):
        order = each.take_whole("order", least=1, default=None)
        choose = each.take_whole("choose", least=1, default=None)
        each.finish()
        for name, value in (("order", order), ("choose", choose)):
            if value is None and name not in each.raw:
                each.complain(name, "is missing")
        if order is not None and order in found:
            each.complain("order", f"{order} is there twice")
        if order is not None and choose is not None:
            found[order] = choose
    return found


def _read_step(table: Table, reading: _Reading) -> StepFacts | None:
    order = table.take_whole("order", least=1, default=None)
    if order is None and "order" not in table.raw:
        table.complain("order", "is missing")
    code = table.take_text("course")
    provider = _find_course_provider(table, code, reading)
    required = table.take_flag("required", default=True)
    new_run = table.take_flag("new_run", default=False)
    table.finish()
    if order is None or provider is None:
        return None
    return StepFacts(order, provider, code, None if required else 0, new_run)


def _find_course_provider(table: Table, code: str, reading: _Reading) -> str | None:
    """Whose course it is; a step names the provider only where several have that code."""
    named = table.take_text("provider", default="")
    having = [provider for provider, its in reading.courses if its == code]
    if named:
        having = [each for each in having if each == named]
    if len(having) == 1:
        return having[0]
    if code and not having:
        at = f" of {named}" if named else ""
        table.complain("course", f"{code!r} is not among the courses{at}")
    elif code:
        table.complain("provider", f"say whose {code} it is: {', '.join(having)}")
    return None


def _join_electives(
    table: Table, steps: list[StepFacts], choose: dict[int, int]
) -> list[StepFacts]:
    """The steps with the N of their stage; complains of stages that nobody could complete."""
    for (provider, code), count in Counter((step.provider, step.course) for step in steps).items():
        if count > 1:
            table.complain("steps", f"{code} of {provider} is there {count} times")
    offered = Counter(step.order for step in steps if not step.required)
    for order, count in sorted(offered.items()):
        if order not in choose:
            wanted = f"electives = [{{ order = {order}, choose = 1 }}]"
            table.complain("electives", f"say how many of order {order} to choose: {wanted}")
        elif choose[order] > count:
            table.complain(
                "electives", f"choose {choose[order]} of order {order}, but it has {count}"
            )
    for order in sorted(choose.keys() - offered.keys()):
        table.complain("electives", f"order {order} has no step with required = false")
    return [
        step if step.required else replace(step, choose=choose.get(step.order)) for step in steps
    ]
