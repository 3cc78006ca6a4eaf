"""Short names in addresses, commands and files."""

import re

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SLUG_RULE = "lower-case letters, digits and hyphens, at most 63, not a hyphen first"


def is_slug(text: str) -> bool:
    """Whether the text may be the slug of an organization, provider or program."""
    return _SLUG.fullmatch(text) is not None
