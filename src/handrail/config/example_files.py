"""The examples that come with the checkout: catalog and roster of an invented school."""

from pathlib import Path

from handrail.core.refusal import Refusal

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
"""Beside `src`, where `make run` and `make demo` install from; the working folder does not matter."""


def find_example(name: str) -> Path:
    """Return the path of an example file.

    Raises:
        Refusal: Handrail was installed without its checkout.
    """
    path = EXAMPLES / name
    if not path.is_file():
        raise Refusal(
            f"The example {path} is not there. It comes with the checkout of Handrail, not with "
            "the installed package: give this command there, with make."
        )
    return path
