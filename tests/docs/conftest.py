"""The browser, for the test that reads the built site."""

from tests.browser import browser, chromium

__all__ = ["browser", "chromium"]
