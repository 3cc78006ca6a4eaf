"""The configuration: each mistake is named with its place."""

import json
import subprocess
import sys
from base64 import b64encode
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from handrail_sandbox.clock import add_months, to_iso
from handrail_sandbox.config import load_config, parse_config
from handrail_sandbox.json_object import ConfigError
from tests.sandbox.partners import make_config
from tests.sandbox.process import SOURCE, Sandbox

NO_KEY = "whsec_" + b64encode(b"too short").decode()


def change(path: str, value: object) -> dict[str, Any]:
    """Return a good configuration with one thing changed."""
    config = make_config({"milady": "http://127.0.0.1:1/"})
    *folders, name = path.split(".")
    place: Any = config
    for folder in folders:
        place = place[folder]
    place[name] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("control_token", "short", "control_token: write a text of 16 characters or more"),
        ("seed", "1", "seed: write a number"),
        ("seed", True, "seed: write a number"),
        ("time_zone", "Mars/Olympus", "time_zone: 'Mars/Olympus' is not a zone, for example UTC"),
        ("leave_alone", "me@example.org", "leave_alone: write a list"),
        ("leave_alone", [7], "leave_alone: write a text of 1 characters or more"),
        ("retry_seconds", [5, "x"], "retry_seconds: write a number"),
        ("webhook_concurrency", 0, "webhook_concurrency: write a number from 1 to 1e+09"),
        ("colour", 1, "colour is not a key of it"),
        ("partners", {}, "partners: name at least one"),
        ("partners", [], "partners must be a JSON object"),
        ("partners.thinkific", {}, "partners: 'thinkific' is not one of milady, hsi, "),
        ("partners.milady.url", "x", "partners.milady.url is not a key of it"),
        (
            "partners.milady.credentials",
            {"X-School-Id": "1"},
            "milady.credentials: the header Authorization must be",
        ),
        ("partners.milady.credentials.X-Foo", "1", "X-Foo is not a header of milady"),
        ("partners.milady.credentials.Authorization", "key", "write 'Bearer ' and the key"),
        ("partners.milady.webhook_url", "ftp://x", "webhook_url: write an http://"),
        ("partners.milady.webhook_scheme", "rot13", "write one of standard-webhooks, "),
        ("partners.milady.webhook_secret", None, "webhook_secret: a partner that sends"),
        ("partners.milady.webhook_secret", "plain", "a secret here is whsec_ and 24 to 64 bytes"),
        ("partners.milady.webhook_secret", NO_KEY, "a secret here is whsec_ and 24 to 64 bytes"),
        ("partners.milady.webhook_previous_secret", "whsec_!", "a secret here is whsec_ and"),
        ("partners.milady.results_file", "x.csv", "results_file: only jri has one"),
        ("partners.milady.courses", [{"title": "x"}], "courses[0].code: write a text"),
        ("partners.milady.courses", ["x"], "courses[0] must be a JSON object"),
        ("partners.milady.study", {"start": "now"}, "study.start: write auto or told"),
        ("partners.milady.study", {"failing": 2}, "study.failing: write a number from 0 to 1"),
        ("faults", {"on": 1}, "faults.on: write true or false"),
        ("faults", {"requests": {"explode": 1}}, "'explode' is not one of error_after, "),
        ("faults", {"webhooks": {"lose": 0.9, "delay": 0.2}}, "the rates add up to more than 1"),
    ],
)
def test_a_mistake_is_named(path: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(change(path, value))
    assert words in str(refused.value)


def test_little_is_enough() -> None:
    config = parse_config({"control_token": "0123456789abcdef", "partners": {"jri": {}}})
    assert config.partners["jri"].endpoint is None
    assert config.retry_seconds[:4] == (5, 300, 1800, 7200)
    assert config.faults.on is False


def test_a_course_without_a_credential_is_a_screening_at_nds_only() -> None:
    courses = [{"code": "A", "title": "A"}, {"code": "B", "title": "B", "credential": "C"}]
    raw = {
        "control_token": "0123456789abcdef",
        "partners": {"nds": make_config({})["partners"]["nds"] | {"courses": courses}},
    }
    raw["partners"]["jri"] = {"courses": courses}  # type: ignore[index]
    partners = parse_config(raw).partners
    kinds = {slug: [it.kind for it in partners[slug].courses.values()] for slug in partners}
    assert kinds == {"nds": ["screening", "course"], "jri": ["course", "course"]}


def test_secrets_are_not_shown() -> None:
    shown = repr(parse_config(make_config({"milady": "http://127.0.0.1:1/"})))
    for secret in ("mil-key", "whsec_", "control-token"):
        assert secret not in shown


def test_a_file_that_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(ConfigError, match=r"config\.json cannot be read: No such file"):
        load_config(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json is not JSON: Expecting property name"):
        load_config(path)


def test_the_process_says_it_and_ends(tmp_path: Path) -> None:
    process = Sandbox(tmp_path, change("seed", "x")).popen()
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert errors == "sandbox: seed: write a number\n"


def test_the_example_of_the_reference_is_a_configuration() -> None:
    page = (SOURCE.parent / "docs" / "reference" / "sandbox.md").read_text()
    example = page.partition("```json\n")[2].partition("```")[0]
    raw = json.loads(example)
    raw["partners"]["milady"]["webhook_secret"] = "whsec_" + b64encode(b"k" * 32).decode()
    assert set(parse_config(raw).partners) == {"milady", "jri"}


def test_it_imports_nothing_of_handrail() -> None:
    code = (
        "import sys, handrail_sandbox.__main__;"
        "print([it for it in sys.modules if it.split('.')[0] in ('handrail', 'django')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(SOURCE)},
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("day", "months", "later"),
    [
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2024, 2, 29), 48, date(2028, 2, 29)),
        (date(2026, 12, 31), 2, date(2027, 2, 28)),
        (date(2026, 10, 31), 1, date(2026, 11, 30)),
        (date(2026, 11, 30), 1, date(2026, 12, 30)),
        (date(2026, 12, 1), 1, date(2027, 1, 1)),
    ],
)
def test_months_later(day: date, months: int, later: date) -> None:
    assert add_months(day, months) == later


def test_times_are_utc_with_milliseconds() -> None:
    assert to_iso(1780000000) == "2026-05-28T20:26:40.000Z"
