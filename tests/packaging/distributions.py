"""Which modules of this environment some requirements bring, and which they do not."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def required(requirements: Iterable[str]) -> set[str]:
    """Names of the distributions that the requirements need, directly or not."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        extras = {"", *requirement.extras}
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": name}) for name in extras):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found:
            found.add(name)
            waiting += [Requirement(text) for text in metadata.requires(name) or []]
    return found


def modules_outside(distributions: set[str]) -> set[str]:
    """Top-level modules of this environment that none of the distributions brings."""
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if module.isidentifier()
        and distributions.isdisjoint(canonicalize_name(owner) for owner in owners)
    }
