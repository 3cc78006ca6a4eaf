"""What a demo is asked to be like."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a demo is asked to be like."""

    port: int = 0
    """Of the web process; 0: a free one."""
    learners: int = 0
    """Invented ones, beside those of the example."""
    faults: bool = False
    """Partners that fail in every way they can."""
    study_seconds: float = 5.0
    """For a whole course, give or take a quarter; 0: nobody studies."""
    stuck_seconds: float = 60.0
    """When nothing has moved for so long, the demo ends and says who is stuck."""
