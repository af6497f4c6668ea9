"""What the page looks like and does in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.page.visiting import MAIN, NO_TRACEBACK, VIEWS, Visit

MARKS_ARE_ABOVE_THE_DATA = """chart => {
    const top = chart.querySelector('.nsewdrag').getBoundingClientRect().top;
    return [...chart.querySelectorAll('.annotation-text')]
        .every(mark => mark.getBoundingClientRect().bottom <= top + 1);
}"""


def test_every_view_opens_fits_and_draws(visit: Callable[..., Visit]) -> None:
    here = visit()
    before = here.latency.inner_text()
    for view in VIEWS:
        here.go(view)
        _is_drawn(here, view, before)
        if view == "Layers":
            legend = here.page.locator(".js-plotly-plot .legend2text, .js-plotly-plot .legendtext")
            expect(legend.filter(has_text=re.compile("^positions$"))).to_have_count(1)


@pytest.mark.parametrize(
    "view", ["Layers", *(pytest.param(x, marks=pytest.mark.slow) for x in VIEWS if x != "Layers")]
)
def test_views_fit_a_phone_and_say_which_they_are(visit: Callable[..., Visit], view: str) -> None:
    here = visit(f"/{VIEWS[view]}", viewport={"width": 390, "height": 844})
    _is_drawn(here, view, here.latency.inner_text())
    expect(here.title).to_have_text(view)
    expect(here.title).to_be_in_viewport()


def _is_drawn(here: Visit, view: str, latency: str) -> None:
    expect(here.latency).to_have_text(latency)
    expect(here.shown('[data-testid="stSkeleton"]')).to_have_count(0)
    expect(here.error).to_have_count(0)
    if view not in ("Answer", "Export", "Measured"):
        charts = here.page.locator(".js-plotly-plot .cartesianlayer .subplot")
        expect(charts.first).to_be_attached()
    assert here.sideways() <= 0, view


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_browser_chooses_light_or_dark(visit: Callable[..., Visit], scheme: str) -> None:
    here = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    expect(here.figures).to_be_visible()
    background = here.page.locator('[data-testid="stApp"]').evaluate(
        "element => getComputedStyle(element).backgroundColor"
    )
    brightness = sum(map(int, re.findall(r"\d+", background)[:3])) / 3
    assert (brightness < 128) == (scheme == "dark")


@pytest.mark.slow
def test_changed_controls_bring_a_new_plan(visit: Callable[..., Visit]) -> None:
    here = visit("/?limit=0.5&ways=features")
    before = here.latency.inner_text()
    here.type_into("Bandwidth B", "20")
    expect(here.latency).not_to_have_text(before)
    slower = here.latency.inner_text()
    here.type_into("Nodes", "2")
    expect(here.latency).not_to_have_text(slower)
    here.type_into("Nodes", "4")
    expect(here.latency).to_have_text(slower)
    here.go("Layers")
    here.press("radio", "dense")
    expect(here.page.get_by_text("54 layers of dense on 4 nodes")).to_be_visible()
    expect(here.latency).to_have_text(slower)
    here.settle()
    here.press("button", "Undo")
    expect(here.page.get_by_text("54 layers of the plan")).to_be_visible()


@pytest.mark.slow
def test_a_hybrid_plan_draws_its_stages(visit: Callable[..., Visit]) -> None:
    here = visit("/layers?model=deit-s&objective=throughput&limit=0.5&ways=features")
    headline = here.see_details().locator("h4")
    expect(headline).to_have_text(re.compile(r"^\d stages on 4 nodes, up to \d a stage: "))
    stages = int(headline.inner_text()[0])
    chart = here.page.locator(".js-plotly-plot").first
    marks = chart.locator(".annotation-text")
    expect(marks).to_have_count(stages)
    expect(marks.first).to_have_text(re.compile("^(stage )?1"))
    assert chart.evaluate(MARKS_ARE_ABOVE_THE_DATA)
    legend = here.page.locator(".js-plotly-plot .legendtext")
    expect(legend.filter(has_text="handed over")).to_have_count(1)
    assert here.sideways() <= 0


def test_impossible_memory_is_said_and_the_plan_stays(visit: Callable[..., Visit]) -> None:
    here = visit("/?ways=features")
    before = here.latency.inner_text()
    here.type_into("Memory per node (MB)", "1")
    expect(here.error).to_contain_text("no plan fits: memory of node-1 binds")
    expect(here.error).to_contain_text(re.compile("the smallest that works|what surely works"))
    assert not NO_TRACEBACK.search(here.page.locator(MAIN).inner_text())
    expect(here.page.get_by_text("Below is still the last plan that worked")).to_be_visible()
    expect(here.shown("dl.figures.old div:not(.what) dd").first).to_have_text(before)
    here.settle()
    here.press("button", "Undo the change")
    expect(here.error).to_have_count(0)
    expect(here.latency).to_have_text(before)
    expect(here.page.get_by_role("spinbutton", name="Memory per node (MB)")).to_have_value("")


def test_a_click_on_the_frontier_is_the_plan(visit: Callable[..., Visit]) -> None:
    here = visit("/trade-off")
    chart = here.page.locator(".js-plotly-plot").first
    points = chart.locator(".scatterlayer .trace").first.locator(".point")
    expect(points).to_have_count(12)
    here.settle()
    points.nth(6).scroll_into_view_if_needed()
    box = points.nth(6).bounding_box()
    assert box is not None
    before = here.latency.inner_text()
    here.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(chart.locator(".hoverlayer .hovertext")).to_be_visible()
    here.page.mouse.down()
    here.page.mouse.up()
    expect(here.latency).not_to_have_text(before)
    here.settle()
    goal = here.page.locator(".st-key-goal_chip").inner_text()
    found = re.search(r"([\d.]+) points", goal)
    assert found and float(found[1]) > 0.6
    star = chart.locator(".scatterlayer .trace").nth(1).locator(".point").bounding_box()
    again = points.nth(6).bounding_box()
    assert star is not None and again is not None
    for low, size in (("x", "width"), ("y", "height")):
        assert abs(star[low] + star[size] / 2 - again[low] - again[size] / 2) < 2


def test_long_work_shows_progress_and_stops(visit: Callable[..., Visit]) -> None:
    here = visit("/trade-off?model=deit-s&nodes=8&trade=throughput&points=40")
    stop = here.page.get_by_role("button", name="Stop", exact=True).last
    expect(here.page.get_by_test_id("stProgress")).to_be_visible()
    stop.click()
    expect(here.page.get_by_text("Tracing the frontier was stopped.")).to_be_visible()
    before = here.latency.inner_text()
    here.type_into("Nodes", "2")
    expect(here.latency).not_to_have_text(before)


def test_the_page_works_from_the_keyboard(visit: Callable[..., Visit]) -> None:
    here = visit()
    before = here.latency.inner_text()
    here.page.get_by_role("spinbutton", name="Bandwidth B", exact=True).focus()
    here.page.keyboard.press("ArrowUp")
    here.page.keyboard.press("Enter")
    expect(here.latency).not_to_have_text(before)
    here.settle()
    for _ in range(60):
        here.page.keyboard.press("Tab")
        focused = here.page.evaluate("document.activeElement.innerText") or ""
        if focused.strip() == "Layers":
            break
    here.page.keyboard.press("Enter")
    expect(here.title).to_have_text("Layers")


def test_hardware_is_edited_as_it_is_typed(visit: Callable[..., Visit]) -> None:
    here = visit("/hardware")
    nodes, links = here.grid("speed"), here.grid("other node")
    links.add_row()  # of which nothing is said
    nodes.type_into(0, "speed", "1e1")
    expect(here.devices).to_contain_text("small-nodes-edited")
    # The old tables are gone, and with them the row of which nothing was said.
    expect(here.page.get_by_label("Name of the cluster")).to_have_count(1)
    expect(nodes.cell(0, "speed")).to_have_text("10")
    expect(links.rows).to_have_count(0)
    here.settle()
    nodes.type_into(0, "speed", "-5")
    expect(here.error).to_have_text(
        "nodes, row 1: found -5 for Computing speed C; give GMAC/s above 0"
    )
    table, error = nodes.place.bounding_box(), here.error.bounding_box()
    assert table and error
    assert 0 <= error["y"] - (table["y"] + table["height"]) < 100
