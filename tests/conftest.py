"""What all tests share: how hypothesis searches, and which tests drive a browser.

Nothing here imports more than the core needs (tests/packaging/test_core_alone.py).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Shared machines make single examples slow, so no deadline. In CI every run tries the same
# examples; elsewhere each run tries new ones, and a failure prints what repeats it. `make quick`
# tries few.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("local", deadline=None, print_blob=True)
settings.register_profile("quick", deadline=None, print_blob=True, max_examples=15)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that drives the browser, so that `-m "not browser"` leaves them out."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
