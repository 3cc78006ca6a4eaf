"""The keys of rows, on servers that bring uuidv7() and on those where ours stands in."""

import time

import pytest

from tests.databases import Sql


@pytest.mark.every_postgres
def test_ids_are_version_7_of_now_and_keep_their_order(sql: Sql) -> None:
    made = [sql.value("select uuidv7()") for _ in range(300)]

    assert {(each.version, each.variant) for each in made} == {(7, made[0].variant)}
    assert made == sorted(made)
    assert len(set(made)) == 300
    assert abs((made[0].int >> 80) / 1000 - time.time()) < 60
