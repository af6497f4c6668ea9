"""What all tests share: how hypothesis searches, and which tests drive a browser.

Nothing here imports more than the core needs (tests/packaging/test_core_alone.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPO = Path(__file__).parents[1]

# A shell that starts tests in the background lets them, and what they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Shared machines make single examples slow, so no deadline. In CI every run tries the same
# examples; elsewhere each run tries new ones, and a failure prints what repeats it. `make quick`
# tries few of each property that names no number of its own, `make slow` many.
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=40)
settings.register_profile("local", deadline=None, print_blob=True, max_examples=40)
settings.register_profile("quick", deadline=None, print_blob=True, max_examples=15)
settings.register_profile("many", deadline=None, print_blob=True, max_examples=500)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that drives the browser, so that `-m "not browser"` leaves them out."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's executable; without one the test is skipped, in CI it fails."""
    found = subprocess.run(
        ["sh", REPO / "scripts/ensure_browser.sh", "--find", sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        return Path(found.stdout.strip())
    reason = found.stderr.strip()
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    """One headless browser for the session; open a page with `browser.new_page()`."""
    # here, so that the core's tests do without it; once in a process, which bears no second one
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, headless=True, args=CHROMIUM_ARGS
        )
        yield browser
        browser.close()
