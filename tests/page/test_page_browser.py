"""Journeys through the page in a real browser."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.settings import CostSettings

WAIT_MS = 30_000
MAIN = '[data-testid="stMain"]'
NO_TRACEBACK = re.compile(r"Traceback|File \"|[a-zA-Z]+Error\b")
expect.set_options(timeout=WAIT_MS)


class Visit:
    """One visitor's page, and what the browser saw that should not be."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.trouble: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("dialog", self._dialog)
        page.on("pageerror", lambda error: self.trouble.append(f"script error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)
        page.goto(address)
        expect(self.headline).to_contain_text("per input")
        self.settle()

    def _dialog(self, dialog) -> None:
        self.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message) -> None:
        if message.type == "error":
            self.trouble.append(f"console: {message.text}")

    def _request(self, request) -> None:
        url = urlsplit(request.url)
        local = url.scheme in ("data", "blob") or url.netloc == urlsplit(self.address).netloc
        if not local:
            self.trouble.append(f"request: {request.url}")

    def shown(self, what: str) -> Locator:
        """What stands on the page now; while it runs anew, what it showed before is still there."""
        return self.page.locator(f'{MAIN} [data-stale="false"] {what}')

    @property
    def headline(self) -> Locator:
        return self.shown("h4")

    @property
    def title(self) -> Locator:
        return self.shown("h2")

    @property
    def error(self) -> Locator:
        return self.shown('[data-testid="stAlertContentError"]')

    def settle(self) -> None:
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')

    def type_into(self, name: str, value: str) -> None:
        field = self.page.get_by_role("spinbutton", name=name, exact=True)
        field.fill(value)
        field.press("Enter")

    def upload(self, name: str, content: bytes) -> None:
        if not self.page.locator("input[type=file]").count():
            self.page.get_by_role("radio", name="ONNX file").click()
        files = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        self.page.locator("input[type=file]").set_input_files([files])

    def download(self, name: str) -> str:
        with self.page.expect_download() as found:
            self.page.get_by_role("button", name=name, exact=True).click()
        assert found.value.suggested_filename == name
        return Path(found.value.path()).read_text()

    def sideways(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(
            self.page.evaluate(
                f"""() => Math.max(...[document.documentElement, document.querySelector('{MAIN}')]
                    .map(element => element.scrollWidth - element.clientWidth))"""
            )
        )


@pytest.fixture
def visit(browser: Browser, page_address: str) -> Iterator[Callable[..., Visit]]:
    """Open the page; at the end nothing may have gone wrong behind its face."""
    visits = []

    def opened(**context: object) -> Visit:
        context = {"viewport": {"width": 1280, "height": 900}} | context
        visits.append(Visit(browser.new_page(**context), page_address))
        return visits[-1]

    yield opened
    for one in visits:
        one.page.close()
        assert one.trouble == []


def test_page_opens_with_a_plan_and_three_drawn_charts(visit: Callable[..., Visit]) -> None:
    here = visit()
    expect(here.title).to_have_text("resnet50 on small-nodes")
    expect(here.headline).to_contain_text("split over 4 nodes")
    expect(here.page.locator(".js-plotly-plot .cartesianlayer .subplot")).to_have_count(3)
    titles = here.page.locator(".js-plotly-plot .ytitle, .js-plotly-plot .xtitle")
    expect(titles.filter(has_text="time per input (ms)")).to_have_count(2)
    expect(titles.filter(has_text="S_comm (%)")).to_have_count(1)
    assert here.sideways() <= 0
    bars = here.page.locator(".js-plotly-plot").nth(2)
    expect(bars.locator(".yaxislayer-above text", has_text="optimal (4)")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_phone(visit: Callable[..., Visit], scheme: str) -> None:
    here = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    expect(here.headline).to_be_visible()
    assert here.sideways() <= 0
    background = here.page.locator('[data-testid="stApp"]').evaluate(
        "element => getComputedStyle(element).backgroundColor"
    )
    brightness = sum(map(int, re.findall(r"\d+", background)[:3])) / 3
    assert (brightness < 128) == (scheme == "dark")


def test_changed_controls_bring_a_new_plan(visit: Callable[..., Visit]) -> None:
    here = visit()
    before = here.headline.inner_text()
    here.type_into("Bandwidth B", "20")
    expect(here.headline).not_to_have_text(before)
    slower = here.headline.inner_text()
    here.type_into("Nodes", "2")
    expect(here.headline).to_contain_text("split over 2 nodes")
    here.type_into("Nodes", "4")
    expect(here.headline).to_have_text(slower)
    here.page.get_by_role("radio", name="dense", exact=True).click()
    expect(here.page.get_by_text("54 layers of dense on 4 nodes")).to_be_visible()
    expect(here.headline).to_have_text(slower)


def test_a_hybrid_plan_draws_its_stages(visit: Callable[..., Visit]) -> None:
    here = visit()
    here.page.get_by_role("combobox", name="Catalogue model").click()
    here.page.get_by_role("option", name="deit-s", exact=True).click()
    expect(here.title).to_have_text("deit-s on small-nodes")
    here.settle()
    here.page.get_by_role("radio", name="throughput", exact=True).click()
    expect(here.headline).to_have_text(re.compile(r"^\d stages on 4 nodes, up to \d a stage: "))
    here.settle()
    stages = int(here.headline.inner_text()[0])
    for chart in here.page.locator(".js-plotly-plot").all()[:2]:
        marks = chart.locator(".annotation-text")
        expect(marks).to_have_count(stages)
        expect(marks.first).to_have_text(re.compile("^(stage )?1"))
        plot = chart.locator(".nsewdrag").bounding_box()
        for mark in marks.all():
            box = mark.bounding_box()
            assert box is not None and plot is not None
            assert box["y"] + box["height"] <= plot["y"] + 1  # above the data, not in it
    legend = here.page.locator(".js-plotly-plot").first.locator(".legendtext")
    expect(legend.filter(has_text="handed over")).to_have_count(1)
    assert here.sideways() <= 0


def test_impossible_memory_is_said_and_the_plan_stays(visit: Callable[..., Visit]) -> None:
    here = visit()
    before = here.headline.inner_text()
    here.type_into("Memory per node (MB)", "1")
    expect(here.error).to_contain_text("no plan fits: memory of node-1 binds")
    expect(here.error).to_contain_text("the smallest that works is")
    assert not NO_TRACEBACK.search(here.page.locator(MAIN).inner_text())
    expect(here.page.get_by_text("Below is still the last plan that worked")).to_be_visible()
    expect(here.headline).to_have_text(before)
    here.page.get_by_role("spinbutton", name="Memory per node (MB)").fill("")
    here.page.keyboard.press("Enter")
    expect(here.error).to_have_count(0)
    expect(here.headline).to_have_text(before)


def test_bad_uploads_then_a_good_one(visit: Callable[..., Visit], onnx_net) -> None:
    here = visit()
    before = here.headline.inner_text()
    for name, content in (
        ("truncated.onnx", onnx_net()[:700]),
        ("renamed.onnx", b"Dear planner,\nthis is a text.\n" * 30),
    ):
        here.upload(name, content)
        expect(here.error).to_contain_text(f"{name}: ")
        assert "\n" not in here.error.inner_text()
        assert not NO_TRACEBACK.search(here.page.locator(MAIN).inner_text())
        expect(here.title).to_have_text("resnet50 on small-nodes")
        expect(here.headline).to_have_text(before)
    here.upload("tiny.onnx", onnx_net())
    expect(here.title).to_have_text("tiny on small-nodes")
    expect(here.error).to_have_count(0)
    expect(here.headline).not_to_have_text(before)
    expect(here.page.get_by_text("The model: 406 kMAC, 3 layers")).to_be_visible()
    profile = ModelProfile.model_validate_json(here.download("profile.json"))
    assert [layer.name for layer in profile.layers] == ["first", "relu", "second"]
    assert profile.totals.macs == 405_504


def test_open_dimensions_are_asked_for(visit: Callable[..., Visit], onnx_net) -> None:
    here = visit()
    here.upload("open.onnx", onnx_net(batch="N"))
    expect(here.error).to_contain_text("input 'image' has open dimensions")
    here.settle()
    field = here.page.get_by_role("textbox", name="Input shapes")
    field.fill("image=1,3,16,16")
    field.press("Enter")
    expect(here.title).to_have_text("open on small-nodes")
    expect(here.error).to_have_count(0)


def test_hostile_names_stay_text(visit: Callable[..., Visit], onnx_net) -> None:
    here = visit()
    script = "<script>alert(1)</script>"
    link = '<a href="https://example.invalid">x</a> <img src=x onerror=alert(2)> %{x}'
    here.upload("![p](https:example.invalid) :smile: $x$ <b>.onnx", onnx_net(script, second=link))
    expect(here.title).to_have_text("![p](https:example.invalid) :smile: $x$ <b> on small-nodes")
    expect(here.page.get_by_text("2 layers of the plan")).to_be_visible()
    chart = here.page.locator(".js-plotly-plot").first
    chart.scroll_into_view_if_needed()
    here.settle()
    for position, name in enumerate((script, link)):
        marker = chart.locator(".scatterlayer .trace").last.locator(".point").nth(position)
        box = marker.bounding_box()
        assert box is not None
        here.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(chart.locator(".hoverlayer .hovertext")).to_contain_text(name)
    assert chart.locator(".hoverlayer a").count() == 0
    assert here.page.locator(f"{MAIN} h2 img, {MAIN} h2 a, {MAIN} h2 b").count() == 0


def test_downloads_are_the_shown_plan(visit: Callable[..., Visit]) -> None:
    here = visit()
    plan = Plan.model_validate_json(here.download("plan.json"))
    assert plan.node_count == 4
    assert plan.settings == CostSettings()
    assert plan.certificate is not None
    assert plan.certificate.status == "optimal"
    assert f"{plan.predicted.latency_s * 1e3:.4g} ms" in here.headline.inner_text()
    layers = list(csv.DictReader(io.StringIO(here.download("layers.csv"))))
    assert len(layers) == 175
    assert sum(bool(row["kept features"]) for row in layers) == 53
    profile = ModelProfile.model_validate_json(here.download("profile.json"))
    assert profile.totals.layers == len(layers)
    rows = list(csv.DictReader(io.StringIO(here.download("comparison.csv"))))
    best = next(row for row in rows if row["strategy"] == "optimal")
    assert float(best["latency (ms)"]) == pytest.approx(plan.predicted.latency_s * 1e3)


def test_two_visitors_do_not_share_an_upload(visit: Callable[..., Visit], onnx_net) -> None:
    first, second = visit(), visit()
    first.upload("mine.onnx", onnx_net())
    expect(first.title).to_have_text("mine on small-nodes")
    second.page.get_by_role("radio", name="ONNX file").click()
    expect(second.page.get_by_text("Choose an .onnx file")).to_be_visible()
    expect(second.title).to_have_text("resnet50 on small-nodes")
    assert "mine" not in second.page.locator("body").inner_text()
