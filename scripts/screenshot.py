"""Take the README's picture of the what-if page.

    make app                                # in another terminal
    python scripts/screenshot.py            # writes docs/images/page.png

Needs Chromium (scripts/ensure_browser.sh) and Playwright.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

REPO = Path(__file__).parents[1]
PICTURE = REPO / "docs/images/page.png"
WIDTH_PX, HEIGHT_PX = 1280, 1090
CHARTS_ABOVE_THE_FOLD = 2


def settled(page: Page) -> None:
    """Wait until the plan stands and its charts are drawn."""
    page.wait_for_selector('[data-testid="stMain"] h4')
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    drawn = page.locator(".js-plotly-plot .cartesianlayer .subplot")
    expect(drawn.nth(CHARTS_ABOVE_THE_FOLD - 1)).to_be_attached()
    page.evaluate("document.fonts.ready")
    page.evaluate("new Promise(done => requestIdleCallback(done, {timeout: 5000}))")


def main() -> None:
    """Open the running page and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--address", default="http://127.0.0.1:8501")
    parser.add_argument("--output", type=Path, default=PICTURE)
    given = parser.parse_args()
    find = ["sh", REPO / "scripts/ensure_browser.sh", "--find", sys.executable]
    chromium = subprocess.run(find, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        page.goto(given.address)
        settled(page)
        page.screenshot(path=given.output)
        browser.close()
    sys.stderr.write(f"wrote {given.output}\n")


if __name__ == "__main__":
    main()
