"""The reference of the settings and the code name the same ones."""

import re
from pathlib import Path

import handrail.config.environment as code
from handrail.config.environment import DatabaseRole

ROOT = Path(__file__).parents[2]
SETTING = re.compile(r"HANDRAIL_[A-Z_]+[A-Z]")


def test_every_setting_is_in_the_reference_and_no_other() -> None:
    source = Path(code.__file__).read_text()
    read = set(re.findall(r'read\(\s*"(HANDRAIL_[A-Z_]+)"', source))
    read |= {role.password_variable for role in DatabaseRole}
    table = (ROOT / "docs/reference/configuration.md").read_text().splitlines()
    documented = {
        m.group()
        for line in table
        if (m := re.match(r"\| `HANDRAIL", line)) and (m := SETTING.search(line))
    }

    assert documented == read
    assert len(read) == 23


def test_a_default_in_code_stands_in_the_reference() -> None:
    source = Path(code.__file__).read_text()
    defaults = dict(re.findall(r'read\(\s*"(HANDRAIL_[A-Z_]+)", \w+, "([^"]+)"\)', source))
    table = (ROOT / "docs/reference/configuration.md").read_text()
    rows = dict(re.findall(r"^\| `(HANDRAIL_[A-Z_]+)` \|.*\| `([^`]+)` \|$", table, re.MULTILINE))

    assert rows == defaults
    assert len(rows) == 9


def test_the_documents_name_no_setting_that_there_is_not() -> None:
    source = Path(code.__file__).read_text()
    known = set(SETTING.findall(source)) | {role.password_variable for role in DatabaseRole}
    known |= {"HANDRAIL_TEST_REQUIRE"}
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        assert set(SETTING.findall(document.read_text())) <= known, document
