"""How many examples an expensive property tries: a share of those of the profile that is chosen."""

from __future__ import annotations

from hypothesis import settings


def some(share: float) -> settings:
    """Settings with so large a share of the profile's examples."""
    return settings(max_examples=max(round(settings().max_examples * share), 1))
