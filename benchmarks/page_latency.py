"""How long the what-if page takes: to its first plan, and from a click to the redrawn page.

Starts the page, opens it in a headless browser and changes one control after the other. Three times
are printed for each change: until the new plan's headline stands, until the first chart shows it,
and until everything is redrawn and the browser is idle. No question is asked twice, so that every
plan is a new one.

    python benchmarks/page_latency.py [--model resnet50 --model deit-s] [--changes 10]
        [--against FOLDER]

With a folder that holds another version, that one is measured first, in the same run.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

REPO = Path(__file__).parents[1]
PLANNER = (sys.executable, "-c", "from app.cli import main; main()")
APP = '[data-testid="stApp"]'
HEADLINE = '[data-testid="stMain"] h4, dl.figures:not(.old)'  # as it was once, and now
SETTLED_S = 3.0  # what is looked for in the background is found by then

# Resolves with ms until the new headline, the new chart and idleness, from the moment of the call.
WATCH = """
async ([headlineBefore, chartBefore]) => {
  const start = performance.now();
  const frame = () => new Promise(requestAnimationFrame);
  const headline = () => document.querySelector('HEADLINE')?.innerText ?? '';
  const chart = () => CHART;
  const running = () => document.querySelector('APP').dataset.testScriptState !== 'notRunning';
  while (headline() === headlineBefore || headline() === '') await frame();
  const shown = performance.now() - start;
  while (chart() === chartBefore || chart() === '') await frame();
  const drawn = performance.now() - start;
  while (running()) await frame();
  await new Promise(done => requestIdleCallback(done, {timeout: 5000}));
  await frame();
  return [shown, drawn, performance.now() - start];
}
"""
CHART = """(document.querySelector('[data-testid="stMarkdownContainer"] svg[role="img"]')
    ?? document.querySelector('.js-plotly-plot .scatterlayer'))?.innerHTML ?? ''"""


@contextmanager
def running_page(tree: Path) -> Iterator[tuple[str, float]]:
    """The address of a version's page, and when its server was started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begin = time.perf_counter()
    server = subprocess.Popen(
        [*PLANNER, "app", "--headless", "--port", str(port)],
        cwd=tree,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )
    try:
        address = f"http://127.0.0.1:{port}"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                direct.open(f"{address}/_stcore/health", timeout=5).close()
                break
            except (urllib.error.URLError, TimeoutError):
                if server.poll() is not None:
                    raise SystemExit("the page did not start") from None
                time.sleep(0.05)
        yield address, begin
    finally:
        server.terminate()
        server.wait()


def opened(page: Page, address: str) -> float:
    """Open the page; seconds until its plan stands."""
    begin = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(HEADLINE)
    return time.perf_counter() - begin


def change(page: Page, field: Locator, value: str) -> list[float]:
    """Type a new value; seconds until the new headline, the new chart and idleness."""
    page.wait_for_timeout(SETTLED_S * 1e3)
    before = [page.locator(HEADLINE).inner_text(), page.evaluate(CHART)]
    field.fill(value)
    watch = WATCH.replace("HEADLINE", HEADLINE).replace("CHART", CHART).replace("APP", APP)
    page.evaluate(f"before => {{ window.watched = ({watch})(before) }}", before)
    field.press("Enter")
    return [ms / 1e3 for ms in page.evaluate("() => window.watched")]


def summary(name: str, values: list[float]) -> str:
    """Median, 95th percentile and largest, in milliseconds."""
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
    figures = (statistics.median(values), p95, max(values))
    return f"{name:<22}" + "".join(f"{figure * 1e3:>10.0f}" for figure in figures)


def measure(page: Page, address: str, model: str, changes: int) -> None:
    """Change one model's bandwidth and nodes, and print how long that takes."""
    print(f"\n{model}: opened again in {opened(page, f'{address}/?model={model}'):.2f} s")
    bandwidth = page.get_by_role("spinbutton", name="Bandwidth B", exact=True)
    nodes = page.get_by_role("spinbutton", name="Nodes", exact=True)
    values = [(bandwidth, "B", f"{30 - 1.5 * k:g}") for k in range(changes // 2)]
    values += [(nodes, "nodes", str(count)) for count in (2, 3)]
    values += [(bandwidth, "B", f"{44 + 2 * k:g}") for k in range(changes - changes // 2)]
    print(f"{'change (ms)':<22}{'headline':>10}{'chart':>10}{'idle':>10}")
    times = []
    for field, name, value in values:
        times.append(change(page, field, value))
        cells = "".join(f"{seconds * 1e3:>10.0f}" for seconds in times[-1])
        print(f"{f'{name} = {value}':<22}{cells}")
    print(f"{f'{len(times)} changes (ms)':<22}{'median':>10}{'p95':>10}{'max':>10}")
    for index, name in enumerate(("new headline", "new chart", "all redrawn, idle")):
        print(summary(name, [row[index] for row in times]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--changes", type=int, default=10, help="of the bandwidth")
    parser.add_argument("--model", action="append", help="default: resnet50 and deit-s")
    parser.add_argument("--against", type=Path, help="a folder with another version")
    given = parser.parse_args()
    find = ["sh", REPO / "scripts/ensure_browser.sh", "--find", sys.executable]
    chromium = subprocess.run(find, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for tree in filter(None, (given.against, REPO)):
            print(f"\n{tree}")
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            with running_page(tree.resolve()) as (address, begin):
                answered = time.perf_counter() - begin
                print(f"the server answers {answered:.2f} s after its start")
                print(f"the first visitor sees a plan {opened(page, address):.2f} s later")
                for model in given.model or ("resnet50", "deit-s"):
                    measure(page, address, model, given.changes)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
