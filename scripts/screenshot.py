"""Take the pictures of the what-if page for the README and docs/page.md, from the running page.

    python scripts/screenshot.py            # writes docs/images/page*.png

Starts the page itself unless an address is given. Needs Chromium (scripts/ensure_browser.sh) and
Playwright. Look at the pictures before they land.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

REPO = Path(__file__).parents[1]
IMAGES = REPO / "docs/images"
PLANNER = (sys.executable, "-c", "from app.cli import main; main()")
WAIT_MS = 120_000


@dataclass(frozen=True)
class Picture:
    """One picture: what the address asks for, and how many charts must stand."""

    name: str
    path: str
    charts: int
    height_px: int = 1090
    width_px: int = 1280
    scheme: str = "light"


_LANGUAGE = "model=llama-3.1-8b&weight_bits=4.5&context=8192&cluster=arm-wireless"

PICTURES = (
    Picture("page", "/", 0, 800),
    Picture("page-phone", "/", 0, 1250, 390),
    Picture("page-language", f"/?{_LANGUAGE}", 0, 800),
    Picture("page-time", "/time?model=deit-s&objective=throughput", 2, 1090),
    Picture("page-layers", "/layers?model=deit-s&objective=throughput", 1, 1090),
    Picture("page-trade-off", "/trade-off", 1, 1090, scheme="dark"),
    Picture("page-what-if", "/what-if?target=100", 2, 1430),
)


@contextmanager
def running_page() -> Iterator[str]:
    """The address of a page that was started for the pictures."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [*PLANNER, "app", "--headless", "--port", str(port)],
        cwd=REPO,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )
    try:
        address = f"http://127.0.0.1:{port}"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while server.poll() is None:
            try:
                direct.open(f"{address}/_stcore/health", timeout=5).close()
                break
            except (urllib.error.URLError, TimeoutError):
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


def settled(page: Page, charts: int) -> None:
    """Wait until the plan stands, its charts are drawn and nothing is looked for any more."""
    page.wait_for_selector("dl.figures:not(.old)", timeout=WAIT_MS)
    if charts:
        drawn = page.locator(".js-plotly-plot .cartesianlayer .subplot")
        expect(drawn.nth(charts - 1)).to_be_attached(timeout=WAIT_MS)
    expect(page.get_by_test_id("stProgress")).to_have_count(0, timeout=WAIT_MS)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=WAIT_MS)
    page.wait_for_selector(
        '[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=WAIT_MS
    )
    page.evaluate("document.fonts.ready")
    page.evaluate("new Promise(done => requestIdleCallback(done, {timeout: 5000}))")


def take(address: str, pictures: tuple[Picture, ...], folder: Path) -> None:
    """Open the running page and write the pictures."""
    find = ["sh", REPO / "scripts/ensure_browser.sh", "--find", sys.executable]
    chromium = subprocess.run(find, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for picture in pictures:
            page = browser.new_page(
                viewport={"width": picture.width_px, "height": picture.height_px},
                color_scheme="dark" if picture.scheme == "dark" else "light",
            )
            page.goto(address + picture.path)
            settled(page, picture.charts)
            path = folder / f"{picture.name}.png"
            page.screenshot(path=path)
            page.close()
            sys.stderr.write(f"wrote {path}\n")
        browser.close()


def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--address", help="of a page that runs already")
    parser.add_argument("--to", type=Path, default=IMAGES)
    parser.add_argument("--only", action="append", choices=[p.name for p in PICTURES])
    given = parser.parse_args()
    chosen = tuple(p for p in PICTURES if not given.only or p.name in given.only)
    if given.address:
        take(given.address, chosen, given.to)
    else:
        with running_page() as address:
            take(address, chosen, given.to)


if __name__ == "__main__":
    main()
