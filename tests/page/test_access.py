"""Who cannot see the page, or not its colours, and what moves while one looks at it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import pytest
from playwright.sync_api import expect

from tests.page.visiting import VIEWS, Visit

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
SERIOUS = ("serious", "critical")
FIND = """async rules => {
    const found = await axe.run(document, rules ? {runOnly: rules} : {});
    return found.violations
        .filter(one => SERIOUS.includes(one.impact))
        .map(one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 300)).join(' | ')}`);
}""".replace("SERIOUS", str(list(SERIOUS)))
SHIFTS = """
window.shifted = 0;
new PerformanceObserver(list => list.getEntries().forEach(one => window.shifted += one.value))
    .observe({type: 'layout-shift', buffered: true});
"""
LITTLE = 0.05  # half of what browsers call good
NOT_POOR = 0.2  # browsers call more than 0.25 poor; it takes 0.06 to 0.1, of which Streamlit 0.04


def faults(here: Visit, *rules: str) -> list[str]:
    found: list[str] = here.page.evaluate(FIND, list(rules) or None)
    return found


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_serious_stands_in_the_way_of_a_reader(
    visit: Callable[..., Visit], view: str
) -> None:
    here = visit(f"/{VIEWS[view]}?model=resnet50-eighth&nodes=2&points=3")
    expect(here.page.get_by_test_id("stProgress")).to_have_count(0)
    here.page.evaluate(AXE)
    assert faults(here) == []
    here.page.emulate_media(color_scheme="dark")
    here.settle()
    assert faults(here, "color-contrast") == []


def test_little_moves_while_the_page_is_opened(visit: Callable[..., Visit]) -> None:
    here = visit(init=SHIFTS)
    expect(here.page.locator(".st-key-step_1")).to_be_visible()
    here.settle()
    assert here.page.evaluate("window.shifted") < NOT_POOR


def test_nothing_moves_while_the_page_plans_anew(visit: Callable[..., Visit]) -> None:
    here = visit(init=SHIFTS)
    expect(here.page.locator(".st-key-step_1")).to_be_visible()
    here.settle()
    here.page.evaluate("window.shifted = 0")
    before = here.latency.inner_text()
    here.type_into("Bandwidth B", "20")
    expect(here.latency).not_to_have_text(before)
    expect(here.page.locator(".st-key-step_1")).to_be_visible()
    here.settle()
    assert here.page.evaluate("window.shifted") < LITTLE
