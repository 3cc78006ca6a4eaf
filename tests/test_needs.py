from pathlib import Path

import pytest

from tests.needs import require_program


def test_a_program_that_is_there_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "handrail-imaginary"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert require_program("handrail-imaginary") == str(program)


def test_a_missing_program_skips_the_test_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANDRAIL_TEST_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="handrail-imaginary is not installed"):
        require_program("handrail-imaginary")


def test_a_missing_program_fails_where_nothing_may_be_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HANDRAIL_TEST_REQUIRE", "all")
    with pytest.raises(pytest.fail.Exception, match="handrail-imaginary is not installed"):
        require_program("handrail-imaginary")
