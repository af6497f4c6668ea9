"""What bad input is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from planner.errors import BadInputError


def message_of(action: Callable[[], object]) -> str:
    """The one line that an action is refused with."""
    with pytest.raises(BadInputError) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable()
    return message
