"""A newcomer finds every document from the one at the top."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
LINK = re.compile(r"\]\(([^)#\s]+\.md)[^)]*\)")


def list_linked(page: Path) -> set[Path]:
    """Return the documents that a page links to."""
    targets = (found for found in LINK.findall(page.read_text()) if "://" not in found)
    return {(page.parent / target).resolve() for target in targets}


def test_every_document_is_reached_from_the_index_in_two_steps() -> None:
    first = list_linked(DOCS / "README.md")
    second = {page for index in first if DOCS in index.parents for page in list_linked(index)}

    missing = {*DOCS.glob("**/*.md")} - first - second - {DOCS / "README.md"}

    assert sorted(str(page.relative_to(DOCS)) for page in missing) == []


def test_how_tos_and_references_stand_in_the_index_itself() -> None:
    linked = list_linked(DOCS / "README.md")
    pages = {*DOCS.glob("how-to/*.md"), *DOCS.glob("reference/*.md")}

    assert sorted(page.name for page in pages - linked) == []


def test_every_decision_has_its_row_with_its_number() -> None:
    index = (DOCS / "decisions/README.md").read_text()
    rows = re.findall(r"^\| \[(\d{4})\]\((\d{4}-[a-z0-9-]+\.md)\) \|", index, re.MULTILINE)
    files = sorted(page.name for page in DOCS.glob("decisions/0*.md"))

    assert [name for _, name in rows] == files
    for number, name in rows:
        title = (DOCS / "decisions" / name).read_text().splitlines()[0]
        assert (name[:4], title.startswith(f"# {int(number)}. ")) == (number, True), name
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))


def test_every_decision_says_context_decision_and_consequences() -> None:
    for page in DOCS.glob("decisions/0*.md"):
        headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], page.name
