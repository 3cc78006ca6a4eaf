"""Taking a catalog over, on a real database as the service role."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from handrail.organizations.models import Organization
from handrail.partners.endpoints import find_endpoint
from handrail.partners.models import Course, Provider
from handrail.programs.catalog import CatalogReport, import_catalog
from handrail.programs.catalog_file import Catalog, CatalogRefused, StepFacts, read_catalog
from handrail.programs.models import Program, ProgramStep, ProgramVersion
from tests.command_line import handrail
from tests.databases import Database

EXAMPLE = Path(__file__).parents[2] / "examples/catalog.toml"
TABLES = (
    *("organizations", "partner_lms_providers", "webhook_endpoints", "partner_lms_courses"),
    *("programs", "program_versions", "program_partner_lms"),
)


@pytest.fixture
def catalog() -> Catalog:
    return read_catalog(EXAMPLE.read_bytes())


def take_everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row that a catalog can touch, with the transaction that wrote it."""
    with database.connect("superuser") as admin:
        return {
            table: admin.execute(f"select xmin::text, t.* from {table} t order by id").fetchall()
            for table in TABLES
        }


def get_steps(program: str, number: int) -> list[tuple[int, str, int | None, bool]]:
    steps = ProgramStep.objects.filter(
        program_version__program__slug=program, program_version__number=number
    ).order_by("sequence_order", "course__code")
    return [
        (each.sequence_order, each.course.code, each.elective_choose, each.demands_new_run)
        for each in steps.select_related("course")
    ]


def is_untouched(report: CatalogReport) -> bool:
    return not report.is_new and not report.published


def test_the_example_is_there_as_it_stands_in_the_file(
    database: Database, catalog: Catalog
) -> None:
    report = import_catalog(catalog)

    organization = Organization.objects.get()
    assert (organization.slug, organization.time_zone) == (
        "northside",
        "America/Indiana/Indianapolis",
    )
    assert {kind: len(names) for kind, names in report.created.items()} == {
        "providers": 7,
        "courses": 21,
        "programs": 5,
    }
    assert report.published == [(each.slug, 1) for each in catalog.programs]
    assert get_steps("food-service-manager", 1) == [
        (1, "SS-FH", None, False),
        (2, "SS-MGR", None, False),
        (3, "HSI-FA-RSV", 1, False),
        (3, "JRI-COMM", 1, False),
        (3, "SS-ALC", 1, False),
    ]
    course = Course.objects.get(code="SS-MGR")
    assert (
        course.title,
        course.hours,
        course.credential_name,
        course.valid_months,
        course.kind,
    ) == (
        "ServSafe Manager Certification",
        Decimal(16),
        "ServSafe Manager Certificate",
        60,
        "course",
    )
    assert Course.objects.get(code="NDS-5PANEL").kind == "screening"
    assert Program.objects.get(slug="esthetics").tuition_cents == 380_000


def test_what_each_partner_offers_is_written_down_where_sql_decides(
    database: Database, catalog: Catalog
) -> None:
    import_catalog(catalog)

    offers = {
        each.slug: (each.mode, each.offers_lookup, each.offers_unenroll, each.offers_progress)
        for each in Provider.objects.all()
    }
    assert offers == {
        "milady": ("api", True, True, True),
        "hsi": ("api", True, True, True),
        "certiport": ("api", True, False, True),
        "careersafe": ("hybrid", True, True, True),
        "jri": ("link", False, False, False),
        "nrf": ("api", True, True, True),
        "nds": ("api", False, False, True),
    }


def test_a_repeat_writes_nothing_at_all(database: Database, catalog: Catalog) -> None:
    import_catalog(catalog)
    before = take_everything(database)

    assert is_untouched(import_catalog(catalog))

    assert take_everything(database) == before


def test_each_provider_has_an_endpoint_of_its_own(database: Database, catalog: Catalog) -> None:
    import_catalog(catalog)
    import_catalog(replace(catalog, organization=replace(catalog.organization, slug="southside")))

    keys = {
        (each.organization.slug, each.slug): find_endpoint(each)
        for each in Provider.objects.select_related("organization")
    }
    assert {place: (each.key, each.scheme) for place, each in keys.items() if each} == {
        (organization, provider): (prefix + provider, scheme)
        for organization, prefix in (("northside", ""), ("southside", "southside-"))
        for provider, scheme in (
            ("milady", "standard-webhooks"),
            ("hsi", "standard-webhooks"),
            ("certiport", "hmac-sha256-hex"),
            ("careersafe", "shared-secret"),
            ("jri", None),
            ("nrf", "standard-webhooks"),
            ("nds", "standard-webhooks"),
        )
    }


def test_a_changed_program_gets_a_new_version_and_the_old_one_stays(
    database: Database, catalog: Catalog
) -> None:
    import_catalog(catalog)
    before = ProgramVersion.objects.get(program__slug="esthetics")
    longer = (*catalog.programs[-1].steps, StepFacts(3, "milady", "MS-COSMO", new_run=True))
    changed = replace(
        catalog, programs=(*catalog.programs[:-1], replace(catalog.programs[-1], steps=longer))
    )

    report = import_catalog(changed)

    assert report.published == [("esthetics", 2)]
    assert get_steps("esthetics", 1) == [(1, "RISE-CWS", None, False), (2, "MS-ESTH", None, False)]
    assert get_steps("esthetics", 2) == [
        (1, "RISE-CWS", None, False),
        (2, "MS-ESTH", None, False),
        (3, "MS-COSMO", None, True),
    ]
    old = ProgramVersion.objects.get(program__slug="esthetics", number=1)
    assert old.published_at == before.published_at
    assert is_untouched(import_catalog(changed))
    # Back to what it was: that is a change of the newest version too.
    assert import_catalog(catalog).published == [("esthetics", 3)]


def test_changed_titles_and_prices_need_no_version(database: Database, catalog: Catalog) -> None:
    import_catalog(catalog)
    first, *rest = catalog.programs
    milady, *others = catalog.providers
    changed = replace(
        catalog,
        organization=replace(catalog.organization, name="North", learner_word="apprentice"),
        providers=(replace(milady, name="Milady", webhook_scheme="hmac-sha256-hex"), *others),
        courses=(replace(catalog.courses[0], hours=Decimal("4.5")), *catalog.courses[1:]),
        programs=(replace(first, title="Barber", tuition_cents=1), *rest),
    )

    report = import_catalog(changed)

    assert (report.organization_became, report.created, report.published) == ("changed", {}, [])
    assert report.changed == {
        "providers": ["milady"],
        "courses": ["RISE-CWS"],
        "programs": ["barber-apprenticeship"],
    }
    assert Organization.objects.get().learner_word == "apprentice"
    assert Course.objects.get(code="RISE-CWS").hours == Decimal("4.5")
    endpoint = find_endpoint(Provider.objects.get(slug="milady"))
    assert endpoint is not None
    assert (endpoint.key, endpoint.scheme) == ("milady", "hmac-sha256-hex")


def test_what_is_not_in_the_file_stays(database: Database, catalog: Catalog) -> None:
    import_catalog(catalog)
    Course.objects.filter(code="JRI-WORK").update(link_url="https://jri.example/work")

    report = import_catalog(
        replace(catalog, programs=(), providers=catalog.providers[:0], courses=())
    )

    assert is_untouched(report)
    assert (Provider.objects.count(), Program.objects.count()) == (7, 5)
    assert Course.objects.get(code="JRI-WORK").link_url == "https://jri.example/work"
    assert is_untouched(import_catalog(catalog))  # the file names no link, so it stays


def test_a_catalog_is_taken_whole_or_not_at_all(database: Database, catalog: Catalog) -> None:
    import_catalog(catalog)
    before = take_everything(database)
    milady, hsi, *others = catalog.providers
    bad = replace(
        catalog,
        organization=replace(catalog.organization, name="Changed"),
        providers=(replace(milady, adapter="nrf"), replace(hsi, adapter="nds"), *others),
    )

    with pytest.raises(CatalogRefused) as refused:
        import_catalog(bad)

    advice = "which cannot be changed; describe the other platform as a provider with another slug"
    assert refused.value.problems == (
        f"provider milady: it has the adapter milady, {advice}",
        f"provider hsi: it has the adapter hsi, {advice}",
    )
    assert take_everything(database) == before


def test_problems_that_only_the_database_knows_are_told_with_their_place(
    database: Database, catalog: Catalog
) -> None:
    bad = replace(
        catalog,
        organization=replace(catalog.organization, time_zone="Indiana"),
        courses=(
            replace(catalog.courses[0], link_url="http://milady.example"),
            *catalog.courses[1:],
        ),
    )

    with pytest.raises(CatalogRefused) as refused:
        import_catalog(bad)

    assert refused.value.problems == (
        "organization, time_zone: 'Indiana' is no time zone; write one such as America/Indiana/Indianapolis",
        "course RISE-CWS, link_url: the address must begin with https://",
    )
    assert not Organization.objects.exists()


STEP_OF_A_DRAFT = """
with draft as (
  insert into program_versions (organization_id, program_id, number)
  select organization_id, id, 2 from programs limit 1 returning *)
insert into program_partner_lms (organization_id, program_version_id, provider_id, course_id, sequence_order)
select d.organization_id, d.id, c.provider_id, c.id, 1 from draft d, (select * from partner_lms_courses limit 1) c;
"""
MOVE_IT = """
update program_partner_lms
set program_version_id = (select id from program_versions where published_at is not null limit 1)
where program_version_id in (select id from program_versions where published_at is null)
"""
ADD_ANOTHER = """
insert into program_partner_lms (organization_id, program_version_id, provider_id, course_id, sequence_order)
select organization_id, program_version_id, provider_id, uuidv7(), 9 from program_partner_lms limit 1
"""


@pytest.mark.parametrize(
    "change",
    [
        "update program_partner_lms set sequence_order = 9",
        "delete from program_partner_lms",
        ADD_ANOTHER,
        STEP_OF_A_DRAFT + MOVE_IT,
        "update program_versions set published_at = null",
    ],
)
def test_a_published_version_cannot_be_changed_by_anybody(
    database: Database, catalog: Catalog, change: str
) -> None:
    import_catalog(catalog)

    with database.connect("superuser") as admin, pytest.raises(psycopg.errors.CheckViolation):
        admin.execute(change.encode())


def test_the_command_tells_what_it_did(database: Database, tmp_path: Path) -> None:
    said = handrail(database, "import-catalog", EXAMPLE)

    assert (said.code, said.err) == (0, "")
    assert said.lines[0] == "organization created: northside"
    assert said.lines[1] == ("providers created: milady, hsi, certiport, careersafe, jri, nrf, nds")
    assert said.lines[4] == "published: barber-apprenticeship, version 1"
    assert said.lines[-1] == "Next, for each new provider: handrail provider configure SLUG"

    again = handrail(database, "import-catalog", EXAMPLE)

    assert again.out == "Nothing differs from what is here; nothing was changed.\n"


def test_the_command_tells_every_problem_and_fails(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text('[organization]\nslug = "north"\n[[programs]]\nslug = "p"\n')

    said = handrail(database, "import-catalog", file)

    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines() == [
        "handrail: The catalog cannot be used; nothing was changed:",
        "- organization, name: is missing",
        "- program p, title: is missing",
        "- program p, steps: a program needs at least one",
    ]
