"""What a person must mend before a command can do its work."""

from handrail.core.refusal import Refusal

__all__ = [
    "EX_CONFIG",
    "AlreadyRunning",
    "ChildFailed",
    "ConfigurationError",
    "DatabaseError",
    "EmbeddedServerError",
    "PortInUse",
    "Refusal",
]

EX_CONFIG = 78  # sysexits.h; the supervisor does not start such a child again


class ConfigurationError(Refusal):
    """The environment is not usable; `problems` says, one sentence each, what to change."""

    exit_code = EX_CONFIG

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(_list("The configuration cannot be used:", problems))


class DatabaseError(Refusal):
    """The database cannot be used as it is; `problems` says, one sentence each, what to change."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(_list("The database cannot be used:", problems))


class EmbeddedServerError(Refusal):
    """The embedded server cannot be used."""


class AlreadyRunning(EmbeddedServerError):
    """Another process of ours supervises the server of this folder."""


class PortInUse(Refusal):
    """Another program listens there."""


class ChildFailed(Refusal):
    """A step before the start did not succeed; its own output says why."""


def _list(title: str, problems: list[str]) -> str:
    return "\n".join([title, *(f"- {problem}" for problem in problems)])
