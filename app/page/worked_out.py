"""An answer whose parts are worked out when they are first shown, here or elsewhere."""

from __future__ import annotations


class WorkedOut:
    """Parts are cached properties; ``plan`` is the one that everything else waits for."""

    def keep(self, name: str, found: object) -> None:
        """Take over a part that was worked out elsewhere."""
        vars(self)[name] = found

    @property
    def is_planned(self) -> bool:
        """Whether the plan was found already."""
        return "plan" in vars(self)
