"""Who an adapter's tests are about."""

from typing import ClassVar, Literal


class Platform:
    """Each adapter's test class says this much, and inherits the rest."""

    slug: ClassVar[str]
    course: ClassVar[str]
    credentials: ClassVar[dict[str, str]]
    scheme: ClassVar[str] = "standard-webhooks"
    sensitive: ClassVar[bool] = False  # results and reasons are kept apart
    enrolls_again: ClassVar[Literal["existing", "another"]] = "existing"
