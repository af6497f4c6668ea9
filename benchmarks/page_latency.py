"""How long the what-if page takes from a click to the redrawn page with its new plan.

Opens the running page (``make app``) in a headless browser and changes one control after the
other. Two times are printed for each change: until the new headline stands, and until all charts
and tables are redrawn and the browser is idle. A page that was asked the same before answers from
its cache: start it anew for every measurement.

    python benchmarks/page_latency.py [--address http://127.0.0.1:8501] [--changes 6]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

REPO = Path(__file__).parents[1]
APP = '[data-testid="stApp"]'
HEADLINE = '[data-testid="stMain"] h4'

# Resolves with [ms until the new headline, ms until idle], both from the moment of the call.
WATCH = """
async (before) => {
  const start = performance.now();
  const frame = () => new Promise(requestAnimationFrame);
  const headline = () => document.querySelector('HEADLINE')?.innerText ?? '';
  const running = () => document.querySelector('APP').dataset.testScriptState !== 'notRunning';
  while (headline() === before || headline() === '') await frame();
  const shown = performance.now() - start;
  while (running()) await frame();
  await new Promise(done => requestIdleCallback(done, {timeout: 5000}));
  await frame();
  return [shown, performance.now() - start];
}
""".replace("HEADLINE", HEADLINE).replace("APP", APP)


def change(page: Page, field: Locator, value: str) -> tuple[float, float]:
    """Type a new value; seconds until the new headline and until the page is idle."""
    before = page.locator(HEADLINE).inner_text()
    field.fill(value)
    page.evaluate(f"before => {{ window.watched = ({WATCH})(before) }}", before)
    field.press("Enter")
    shown_ms, idle_ms = page.evaluate("() => window.watched")
    return shown_ms / 1e3, idle_ms / 1e3


def summary(name: str, values: list[float]) -> str:
    """Median, 95th percentile and largest, in milliseconds."""
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
    figures = (statistics.median(values), p95, max(values))
    return f"{name:<22}" + "".join(f"{figure * 1e3:>10.0f}" for figure in figures)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--changes", type=int, default=6, help="of each control")
    parser.add_argument("--address", default="http://127.0.0.1:8501")
    given = parser.parse_args()
    find = ["sh", REPO / "scripts/ensure_browser.sh", "--find", sys.executable]
    chromium = subprocess.run(find, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        page.goto(given.address)
        page.wait_for_selector(HEADLINE)
        page.wait_for_selector(f'{APP}[data-test-script-state="notRunning"]')
        print(f"first page: {time.perf_counter() - start:.1f} s")
        bandwidth = page.get_by_label("Bandwidth B", exact=True)
        nodes = page.get_by_label("Nodes", exact=True)
        # No value comes twice with the same nodes: every plan is a new one.
        values = [(bandwidth, "B", f"{30 - 1.5 * k:g}") for k in range(given.changes)]
        values += [(nodes, "nodes", str(count)) for count in (2, 3)]
        values += [(bandwidth, "B", f"{44 + 2 * k:g}") for k in range(given.changes)]
        print(f"{'change':<22}{'headline':>10}{'redrawn':>10}   (ms)")
        times = []
        for field, name, value in values:
            headline_s, idle_s = change(page, field, value)
            times.append((headline_s, idle_s))
            print(f"{f'{name} = {value}':<22}{headline_s * 1e3:>10.0f}{idle_s * 1e3:>10.0f}")
        print(f"\n{f'{len(times)} changes (ms)':<22}{'median':>10}{'p95':>10}{'max':>10}")
        print(summary("new headline", [headline_s for headline_s, _ in times]))
        print(summary("page redrawn", [idle_s for _, idle_s in times]))
        browser.close()


if __name__ == "__main__":
    main()
