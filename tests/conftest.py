"""What all tests share: how hypothesis searches, and the browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

REPO = Path(__file__).parents[1]
CI = os.environ.get("CI") == "true"

# Shared machines make single examples slow, so no deadline. In CI every run tries the same
# examples; elsewhere each run tries new ones, and a failure prints what repeats it.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("local", deadline=None, print_blob=True)
settings.load_profile("ci" if CI else "local")

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


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
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    """One headless browser for the session; open a page with `browser.new_page()`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, headless=True, args=CHROMIUM_ARGS
        )
        yield browser
        browser.close()
