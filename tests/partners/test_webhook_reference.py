"""What the reference tells partners about webhooks is what the code does."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from handrail.inbox import answers
from handrail.inbox.ingress import Limits
from handrail.inbox.parsing import parse_message
from handrail.inbox.registry import NotAuthentic
from handrail.partners.adapters.origin import events
from handrail.partners.registry import get_adapter
from handrail.partners.signatures import SCHEMES, TOLERANCE_SECONDS, verify

PAGE = (Path(__file__).parents[2] / "docs/reference/webhooks.md").read_text()
BODY, PROGRESS = (text.encode() for text in re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL))
NOW = 1780000000
SECRETS = dict(
    re.findall(r"`([a-z0-9-]+)`, with the secret\s+`([^`]+)`", PAGE.partition("## Answers")[0])
)


def read_example(scheme: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of the block that follows the scheme's example."""
    text = PAGE.partition(f"\n`{scheme}`, with the secret")[2]
    lines = text.partition("```http\n")[2].partition("\n```")[0].splitlines()
    pairs = (line.partition(": ") for line in lines)
    return [(name.encode(), value.encode()) for name, _, value in pairs]


def read_column(title: str) -> list[str]:
    """Return the first column of the table whose head begins with `title`."""
    rows = PAGE.partition(f"| {title} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [row.split(" | ")[0].removeprefix("| ") for row in rows]


def test_the_size_of_the_example_is_the_one_that_is_told() -> None:
    assert f"The body, {len(BODY)} bytes" in PAGE


def test_there_is_an_example_of_each_scheme() -> None:
    assert SECRETS.keys() == SCHEMES.keys()
    assert [name.strip("`") for name in read_column("scheme")] == list(SCHEMES)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_example_is_authentic_by_its_secret_and_no_other(scheme: str) -> None:
    headers, secrets = read_example(scheme), [SECRETS[scheme].encode()]

    found = verify(scheme, headers, BODY, secrets, now=NOW)

    ids = {"standard-webhooks": b"msg_docs0001", "hmac-sha256-hex": b"evt-docs-0001"}
    assert found.event_id == ids.get(scheme, b"")
    with pytest.raises(NotAuthentic):
        verify(scheme, headers, BODY, [b"whsec_b3RoZXI="], now=NOW)


def test_the_examples_say_what_is_told_of_them() -> None:
    (completed,) = get_adapter("milady").translate(parse_message(BODY))
    (progress,) = get_adapter("milady").translate(json.loads(PROGRESS))

    assert (completed.kind, completed.external_enrollment_id) == (
        "course.completed",
        "MIL-E-100017",
    )
    assert str(completed.occurred_at) == "2026-05-28 20:26:38+00:00"
    assert (progress.kind, progress.percent) == ("progress.updated", Decimal(40))


def test_every_answer_is_in_the_table() -> None:
    made = [each for each in vars(answers).values() if isinstance(each, answers.Response)]
    made += answers.AFTER_STORE.values()
    statuses = {str(each.start["status"]) for each in made}

    assert set(read_column("answer")) == statuses | {"400", "401", "431"}


def test_every_event_is_in_the_table() -> None:
    told = [re.findall(r"`([a-z.]+)`", row) for row in read_column("`event`")]

    assert {name for names in told for name in names} == set(events._TIMES)


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    assert (limits.body, limits.body_seconds, TOLERANCE_SECONDS) == (1024 * 1024, 15, 300)
    assert "1 MiB at most" in PAGE
    assert "longer than 15 seconds" in PAGE
    assert "more than 5 minutes off" in PAGE
