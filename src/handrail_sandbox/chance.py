"""Chance that repeats itself: the same seed and the same words give the same number."""

import hashlib

Seed = int | str


def draw(seed: Seed, *words: object) -> float:
    """Return a number from 0 up to but not including 1."""
    text = "\x1f".join(str(word) for word in (seed, *words))
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56


def pick(seed: Seed, rates: dict[str, float], *words: object) -> str:
    """Return a key of `rates` with the probability that stands there, or '' for the rest."""
    left = draw(seed, *words)
    for name, rate in rates.items():
        if left < rate:
            return name
        left -= rate
    return ""
