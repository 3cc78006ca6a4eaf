"""Makes the example: organization, people, and their past."""

import io
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
from django.db import connection

from handrail.config.demo.asking import fetch
from handrail.config.demo.pages import Pages
from handrail.config.embedded_cluster import write_private_file
from handrail.config.example.clock import Clock, move_times
from handrail.config.example.fates import (
    PORTAL,
    Enrollee,
    Fate,
    PlannedStep,
    Wish,
    plan_fate,
)
from handrail.config.example.incidents import Incidents, Picker
from handrail.config.example.past import Past
from handrail.config.example.system import run_system
from handrail.config.example_files import find_example
from handrail.config.installation import Installation, LocalInstallation
from handrail.config.sandbox_setup import SandboxPlan, set_up_sandbox
from handrail.enrollments.roster import import_roster
from handrail.organizations.identity import Identity
from handrail.organizations.models import Organization
from handrail.partners.models import Provider
from handrail.people.actions import add_member, create_profile
from handrail.people.models import Profile
from handrail.programs.catalog import import_catalog
from handrail.programs.catalog_file import read_catalog

STUDENT = "ana.lopez@example.org"
OWNER = ("olivia.owner@northside.example", "Olivia Owner", "owner")
STAFF = ("sam.staff@northside.example", "Sam Staff", "staff")
LATE_COMER = "nila.kumar@example.org"
PLAYED = (STUDENT, LATE_COMER)
"""Those whose fate is laid down."""
NOT_YET_OFFERED = "SS-ALC"
"""A course that its partner did not let the school use in the past."""
_DAYS_AHEAD = 12
"""So long after today the last of the roster begin."""
_FAR = timedelta(days=4000)
"""Nobody begins when the roster is imported: each start date is moved there and back."""
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_WALK_INS = """\
first_name,last_name,email,program,funding_source,start_date,phone
நிலா,குமார்,nila.kumar@example.org,food-service-manager,WIOA,{start},317-555-0199
"""
_ENROLLEES = """
select l.email_normalized, g.slug, e.start_date,
       array_agg(s.sequence_order order by s.sequence_order, c.code),
       array_agg(s.required order by s.sequence_order, c.code),
       array_agg(p.adapter order by s.sequence_order, c.code),
       array_agg(c.code order by s.sequence_order, c.code),
       array_agg(c.hours::double precision order by s.sequence_order, c.code)
from enrollments e
join learners l on l.id = e.learner_id
join programs g on g.id = e.program_id
join enrollment_steps s on s.enrollment_id = e.id
join partner_lms_courses c on c.id = s.course_id
join partner_lms_providers p on p.id = s.provider_id
group by e.id, e.start_date, l.id, g.id
"""
_MOVE_STARTS = """
update enrollments e
set start_date = e.start_date - %s::integer,
    start_at = (e.start_date - %s::integer)::timestamp at time zone o.time_zone
from organizations o where o.id = e.organization_id and e.start_date > %s
"""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who can sign in, as what, and with what."""

    role: str
    email: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What is needed to make the example."""

    local: LocalInstallation
    installation: Installation
    plan: SandboxPlan
    """Of the sandbox while the past is made."""
    files: Path
    """Where the roster is kept as it was imported."""
    admin_dsn: str
    """Of the superuser, in our database."""
    web_password: str


def make_example(making: Making) -> tuple[list[SignIn], list[str]]:
    """Make all of it; return who can sign in, and the addresses of those who study no further."""
    clock = Clock()
    catalog = read_catalog(find_example("catalog.toml").read_bytes())
    zone = ZoneInfo(catalog.organization.time_zone)
    today = datetime.now(zone).date()
    roster = move_dates(find_example("roster.csv").read_text(encoding="utf-8"), today=today)
    first = min(_list_dates(roster))
    founded = _at(first - timedelta(days=14), zone)
    with clock.show_as(founded, timedelta(hours=1)):
        organization = import_catalog(catalog).organization
        set_up_sandbox(organization, making.plan)
        # Else each call of the past, made seconds later, would count as made before that.
        _execute(making, "update partner_lms_providers set configured_at = %s", founded)
        _take_course_away(making.plan)
        sign_ins = [_hire(organization, *each) for each in (OWNER, STAFF)]
    with clock.show_as(_at(first - timedelta(days=10), zone), timedelta(minutes=5)):
        _import(organization, making, roster, today)
        sign_ins.append(_let_student_sign_in(organization))
    stalled = _play(organization, making, clock, today)
    connection.close()
    move_times(clock.close_gaps(), admin_dsn=making.admin_dsn, state=making.plan.state)
    return sign_ins, [STUDENT, *stalled]


def _play(organization: Organization, making: Making, clock: Clock, today: date) -> list[str]:
    """Play everybody's past until yesterday; return the addresses of those who got stuck."""
    enrollees = [_read_enrollee(row) for row in fetch(_ENROLLEES)]
    fates, laid_down = plan_fates(enrollees, today=today)
    with (
        run_system(making.local, making.installation, making.plan) as system,
        closing(Pages(making.web_password)) as pages,
    ):
        past = Past(
            system=system,
            clock=clock,
            pages=pages,
            staff=Identity(Profile.objects.get(email=STAFF[0]).id, organization.id, "staff"),
            portal=Provider.objects.get(organization=organization, adapter=PORTAL),
            zone=ZoneInfo(organization.time_zone),
            starts=dict(Counter(each.start for each in enrollees)),
        )
        known = json.loads(making.plan.config.read_text())["partners"]
        incidents = Incidents(past, Picker(fates, today, taken=laid_down), known)
        incidents.arrange()
        stalled = incidents.list_stalled()
        first = min(each.start for each in enrollees)
        past.play(_stop(fates, stalled, today), first, today - timedelta(days=1))
    return [fate.who.email for fate in stalled]


def move_dates(roster: str, *, today: date) -> str:
    """The roster with every date so much later or earlier that the last ones begin soon."""
    by = today + timedelta(days=_DAYS_AHEAD) - max(_list_dates(roster))
    return _shift(roster, by)


def plan_fates(enrollees: Iterable[Enrollee], *, today: date) -> tuple[list[Fate], set[str]]:
    """What becomes of everybody, and the addresses of those for whom it is laid down."""
    wishes = {
        # The visitor plays this one: a course to go on with, and an elective to choose.
        (STUDENT, "barber-apprenticeship"): Wish(pace=1.45),
        (STUDENT, "food-service-manager"): Wish(pace=0.8, chooses=False),
        (LATE_COMER, "food-service-manager"): Wish(pace=0.7),
    }
    fates = {}
    for who in enrollees:
        wish = wishes.get((who.email, who.program), Wish())
        fates[who.email, who.program] = plan_fate(
            who, today=today, wish=wish, avoid=[NOT_YET_OFFERED]
        )
    laid_down = set(PLAYED)
    for program, order, wish in (
        ("food-service-manager", 3, Wish(elective=NOT_YET_OFFERED)),
        ("food-service-manager", 2, Wish(fails="SS-MGR")),
        ("medical-assistant", 1, Wish(fails="NDS-5PANEL")),
    ):
        others = [fate for fate in fates.values() if fate.who.email not in laid_down]
        who = _find_newest(others, program, order, ended=bool(wish.fails), before=today)
        laid_down.add(who.email)
        changed = plan_fate(who, today=today, wish=wish)
        # The course that is not offered is refused on the day it is chosen.
        last = changed.phases[-1].begins if wish.elective else today
        fates[who.email, who.program] = changed.stop_at(last)
    return list(fates.values()), laid_down


def _find_newest(
    fates: Iterable[Fate], program: str, order: int, *, ended: bool, before: date
) -> Enrollee:
    """Who last began, or ended, a step of that order, some days before."""
    found = [
        (day, fate.who.email, fate.who)
        for fate in fates
        for phase in fate.phases
        if fate.who.program == program and phase.step.order == order
        if (day := phase.ends if ended else phase.begins) and day < before - timedelta(days=2)
    ]
    return max(found, key=lambda each: each[:2])[2]


def _stop(fates: Sequence[Fate], stalled: Sequence[Fate], today: date) -> list[Fate]:
    last = today - timedelta(days=9)
    names = {fate.key for fate in stalled}
    return [fate.stop_at(last) if fate.key in names else fate for fate in fates]


def _import(organization: Organization, making: Making, roster: str, today: date) -> None:
    """Import the roster, and one who came later, so that nobody begins yet."""
    walk_ins = _WALK_INS.format(start=today - timedelta(days=75))
    making.files.mkdir(parents=True, exist_ok=True)
    for name, text in (("roster.csv", roster), ("walk-ins.csv", walk_ins)):
        (making.files / name).write_text(text, encoding="utf-8")
        import_roster(
            io.BytesIO(_shift(text, _FAR).encode()), organization=organization, tell=_ignore
        )
    # The database's own clock says today, so a start in the past would begin at once. The dates go
    # where they belong before anything looks at them again; who begins when, `Past` decides.
    _execute(making, _MOVE_STARTS, _FAR.days, _FAR.days, today + _FAR / 2)


def _execute(making: Making, statement: str, *parameters: object) -> None:
    """Do what only the superuser may."""
    with psycopg.connect(making.admin_dsn) as admin:
        admin.execute(statement.encode(), parameters)


def _hire(organization: Organization, email: str, name: str, role: str) -> SignIn:
    password = _make_password()
    add_member(organization, create_profile(email=email, password=password, name=name), role=role)
    return SignIn(role, email, password)


def _let_student_sign_in(organization: Organization) -> SignIn:
    """Give one learner a profile, as after the address was proved."""
    password = _make_password()
    profile = create_profile(email=STUDENT, password=password, name="Ana María López")
    fetch(
        "select link_learner(id, %s) from learners where organization_id = %s and email_normalized = %s",
        profile.id,
        organization.id,
        STUDENT,
    )
    return SignIn("student", STUDENT, password)


def _make_password() -> str:
    """A password that can be read aloud: four groups of four, 77 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    groups = ("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


def _take_course_away(plan: SandboxPlan) -> None:
    """Let the partner refuse one course as long as the past is made."""
    config = json.loads(plan.config.read_text())
    nrf = config["partners"]["nrf"]
    nrf["courses"] = [each for each in nrf["courses"] if each["code"] != NOT_YET_OFFERED]
    write_private_file(plan.config, json.dumps(config, indent=1, ensure_ascii=False))


def _read_enrollee(row: tuple[object, ...]) -> Enrollee:
    email, program, start, *columns = row
    steps = zip(*columns, strict=True)
    return Enrollee(email, program, start, tuple(PlannedStep(*step) for step in steps))  # type: ignore[arg-type]  # as the query selects


def _list_dates(text: str) -> list[date]:
    found = []
    for each in _DATE.findall(text):
        try:
            found.append(date.fromisoformat(each))
        except ValueError:
            continue  # one of the roster's mistakes
    return found


def _shift(text: str, by: timedelta) -> str:
    def move(found: re.Match[str]) -> str:
        try:
            return (date.fromisoformat(found[0]) + by).isoformat()
        except ValueError:
            return found[0]

    return _DATE.sub(move, text)


def _at(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(10), zone)


def _ignore(_: object) -> None:
    """The roster's bad rows are what the how-to shows."""
