"""Reading a catalog: what is wrong is told with its place, all at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.programs.catalog_file import CatalogRefused, StepFacts, read_catalog

EXAMPLE = (Path(__file__).parents[2] / "examples/catalog.toml").read_bytes()
HEAD = """
[organization]
slug = "northside"
name = "Northside"
[[providers]]
slug = "milady"
name = "Milady"
adapter = "milady"
mode = "api"
[[providers]]
slug = "hsi"
name = "HSI"
adapter = "hsi"
mode = "api"
[[courses]]
provider = "milady"
code = "C-1"
title = "One"
[[courses]]
provider = "hsi"
code = "C-1"
title = "Another one"
[[courses]]
provider = "hsi"
code = "C-2"
title = "Two"
"""
PROGRAM = '[[programs]]\nslug = "barber"\ntitle = "Barber"\n'


def refuse(text: str) -> list[str]:
    """The problems of a catalog, one each."""
    with pytest.raises(CatalogRefused) as refused:
        read_catalog(text.encode())
    return list(refused.value.problems)


def read_steps(steps: str) -> tuple[StepFacts, ...]:
    (program,) = read_catalog(f"{HEAD}{PROGRAM}{steps}".encode()).programs
    return program.steps


def test_the_example_is_read_whole() -> None:
    catalog = read_catalog(EXAMPLE)

    assert (len(catalog.providers), len(catalog.courses), len(catalog.programs)) == (7, 21, 5)
    food = next(each for each in catalog.programs if each.slug == "food-service-manager")
    assert food.steps == (
        StepFacts(1, "nrf", "SS-FH"),
        StepFacts(2, "nrf", "SS-MGR"),
        StepFacts(3, "hsi", "HSI-FA-RSV", choose=1),
        StepFacts(3, "jri", "JRI-COMM", choose=1),
        StepFacts(3, "nrf", "SS-ALC", choose=1),
    )
    schemes = {each.slug: each.webhook_scheme for each in catalog.providers}
    assert schemes["jri"] is None
    assert schemes["careersafe"] == "shared-secret"


def test_a_course_that_two_providers_have_is_told_apart_by_its_provider() -> None:
    steps = 'steps = [{ order = 1, course = "C-1", provider = "hsi", new_run = true }]'

    assert read_steps(steps) == (StepFacts(1, "hsi", "C-1", new_run=True),)


def test_all_problems_are_told_together_with_their_places() -> None:
    assert refuse("""
courses = [{ provider = "nobody", code = "X", title = " ", hours = -1, kind = "party", colour = "red" }]
[organization]
slug = "North Side"
[[providers]]
slug = "milady"
name = "Milady"
adapter = "milday"
mode = "apo"
webhook_scheme = "sha1"
[[providers]]
name = "No slug"
adapter = "hsi"
mode = "api"
[[providers]]
slug = "milady"
name = "Again"
adapter = "milady"
mode = "api"
[[programs]]
slug = "barber"
title = "Barber"
tuition_cents = 12.5
steps = [{ order = 0, course = "X" }, { order = 1, course = "Y" }, { course = "X" }, 7]
extra = 1
""") == [
        (
            "organization, slug: 'North Side' cannot be one; write lower-case letters, digits and hyphens, "
            "at most 63, not a hyphen first"
        ),
        "organization, name: is missing",
        (
            "provider milady, adapter: 'milday' is not known; write one of careersafe, certiport, hsi, jri, "
            "milady, nds, nrf"
        ),
        "provider milady, mode: 'apo' is not known; write one of api, link, hybrid",
        (
            "provider milady, webhook_scheme: 'sha1' is not known; write one of standard-webhooks, "
            "hmac-sha256-hex, shared-secret"
        ),
        "provider 2, slug: is missing",
        "provider milady: is there twice",
        "course X, provider: 'nobody' is not among [[providers]]",
        "course X, title: write a text",
        "course X, kind: 'party' is not known; write one of course, exam, screening, orientation",
        "course X, hours: write a number from 0 to 99999.99",
        "course X, colour: is not known here",
        "program barber, tuition_cents: write a whole number from 0 to 1000000000000",
        "program barber, step 1, order: write a whole number from 1 to 2147483647",
        "program barber, step 2, course: 'Y' is not among the courses",
        "program barber, step 3, order: is missing",
        "program barber, step 4: write a table",
        "program barber, extra: is not known here",
    ]


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("", "steps: a program needs at least one"),
        (
            'steps = [{ order = 1, course = "C-1" }]',
            "step 1, provider: say whose C-1 it is: milady, hsi",
        ),
        (
            'steps = [{ order = 1, course = "C-2", provider = "milady" }]',
            "step 1, course: 'C-2' is not among the courses of milady",
        ),
        (
            (
                'steps = [{ order = 1, course = "C-2" }, { order = 2, course = "C-2", required = false }]\n'
                "electives = [{ order = 2, choose = 1 }]"
            ),
            "steps: C-2 of hsi is there 2 times",
        ),
        (
            'steps = [{ order = 3, course = "C-2", required = false }]',
            "electives: say how many of order 3 to choose: electives = [{ order = 3, choose = 1 }]",
        ),
        (
            (
                'steps = [{ order = 3, course = "C-2", required = false }]\n'
                "electives = [{ order = 3, choose = 2 }]"
            ),
            "electives: choose 2 of order 3, but it has 1",
        ),
        (
            'steps = [{ order = 1, course = "C-2" }]\nelectives = [{ order = 1, choose = 1 }]',
            "electives: order 1 has no step with required = false",
        ),
        (
            'steps = [{ order = 1, course = "C-2" }]\nelectives = [{ order = 1 }]',
            "electives 1, choose: is missing",
        ),
    ],
)
def test_a_program_that_nobody_could_complete_is_refused(program: str, problem: str) -> None:
    assert refuse(f"{HEAD}{PROGRAM}{program}") == [f"program barber, {problem}"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"slug = ", "it is no TOML: Invalid value (at end of document)"),
        (b'a = 1\nb = "\xe9"', "line 2 is not UTF-8; save the file as UTF-8"),
        (b"", "[organization]: is missing"),
        (b"organization = 7", "[organization]: is missing"),
        (
            b'organization = { slug = "a", name = "\\u001b[2J" }',
            "organization, name: write a text",
        ),
    ],
)
def test_a_file_that_is_no_catalog(content: bytes, problem: str) -> None:
    with pytest.raises(CatalogRefused) as refused:
        read_catalog(content)

    assert refused.value.problems == (problem,)
    assert str(refused.value) == f"The catalog cannot be used; nothing was changed:\n- {problem}"


def test_deep_nesting_is_no_catalog() -> None:
    (problem,) = refuse(f"a = {'[' * 100_000}")

    assert problem.startswith("it is no TOML")


values = st.one_of(st.none(), st.integers(), st.text(), st.booleans(), st.just([{}]), st.just({}))


@given(
    st.dictionaries(st.sampled_from(["slug", "name", "mode", "adapter", "webhook_scheme"]), values)
)
def test_no_provider_whatever_is_written_ends_in_a_traceback(raw: dict[str, object]) -> None:
    lines = [f"{name} = {_write(value)}" for name, value in raw.items() if value is not None]
    text = "\n".join(['organization = { slug = "a", name = "A" }', "[[providers]]", *lines])

    try:
        catalog = read_catalog(text.encode("utf-8", "surrogatepass"))
    except CatalogRefused:
        return
    assert len(catalog.providers) == 1


def _write(value: object) -> str:
    if isinstance(value, str):
        escaped = (
            f"\\U{ord(letter):08X}" for letter in value if not 0xD800 <= ord(letter) < 0xE000
        )
        return f'"{"".join(escaped)}"'
    if isinstance(value, bool):
        return str(value).lower()
    return "{}" if value == {} else "[{}]" if isinstance(value, list) else str(value)
