"""Programs of the machine that a test needs beside Python: chromium, wrk, pgbouncer, ..."""

import os
import shutil

import pytest

# pgbouncer and the like live where an ordinary user's PATH does not look.
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def require_program(name: str) -> str:
    """Return the path of a program, or end the calling test.

    A missing program skips the test and names the program. With HANDRAIL_TEST_REQUIRE=all, as in
    `.ci/run`, it fails the test, so that nothing stays untested unnoticed. Whoever asks for a
    new program adds its Debian package to `.ci/run`.
    """
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_FOLDERS])
    path = shutil.which(name, path=folders)
    if path is not None:
        return path
    sentence = f"the program {name} is not installed"
    if os.environ.get("HANDRAIL_TEST_REQUIRE") == "all":
        pytest.fail(f"{sentence}, and HANDRAIL_TEST_REQUIRE=all allows no skip")
    pytest.skip(sentence)
