"""Whole journeys through the page in a real browser."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.settings import CostSettings
from tests.page.visiting import MAIN, NO_TRACEBACK, Visit

MOST_INTERACTIONS = 4
MANY = 25


def test_own_onnx_file_to_exported_plan_in_four_interactions(
    visit: Callable[..., Visit], onnx_net
) -> None:
    here = visit()
    here.drop("mine.onnx", onnx_net())
    expect(here.model).to_have_value("mine")
    here.settle()
    here.type_into("Bandwidth B", "500")
    expect(here.page).to_have_url(re.compile("bandwidth=500"))
    here.settle()
    here.go("Export")
    plan = Plan.model_validate_json(here.download("plan.json"))
    assert here.clicks <= MOST_INTERACTIONS
    assert plan.model.name == "mine"
    assert plan.cluster.link.bandwidth_bytes_per_s == 5e8
    assert f"{plan.predicted.latency_s * 1e6:.3g} µs" in here.latency.inner_text()


def test_upload_tune_pin_and_export(visit: Callable[..., Visit], onnx_net) -> None:
    here = visit("/?sparsity=1&ways=features")
    here.upload("mine.onnx", onnx_net())
    expect(here.model).to_have_value("mine")
    expect(here.latency).to_contain_text("µs")  # until then the plan before is what can be pinned
    here.settle()
    here.press("button", "Pin as A")
    expect(here.figures.locator(".same")).to_be_visible()
    here.settle()
    here.type_into("Computing speed C", "1")
    expect(here.figures.locator(".worse")).to_contain_text("slower")
    here.settle()
    here.go("Export")
    here.upload("mine.onnx", onnx_net(), "Weights of this model")
    expect(here.page.get_by_text("Layers that are pruned")).to_be_visible()
    expect(here.page.locator(".js-plotly-plot .heatmaplayer image").first).to_be_attached()
    here.settle()
    with zipfile.ZipFile(io.BytesIO(here.download("export.zip"))) as archive:
        assert "masks.safetensors" in archive.namelist()
        plan = Plan.model_validate_json(archive.read("plan.json"))
    assert {node.macs_per_s for node in plan.cluster.nodes} == {1e9}


def test_a_link_brings_the_same_page_to_somebody_else(visit: Callable[..., Visit]) -> None:
    here = visit()
    before = here.latency.inner_text()
    here.type_into("Bandwidth B", "20")
    expect(here.latency).not_to_have_text(before)
    here.settle()
    here.press("button", "Goal: least latency")
    here.press("radio", "throughput")
    expect(here.page.get_by_role("button", name="Goal: most throughput")).to_be_visible()
    here.settle()
    here.page.keyboard.press("Escape")
    here.go("Where the time goes")
    expect(here.page).to_have_url(f"{here.address}/time?bandwidth=20&objective=throughput")
    parts = urlsplit(here.page.url)
    there = visit(f"{parts.path}?{parts.query}")
    assert there.latency.inner_text() == here.latency.inner_text()
    field = there.page.get_by_role("spinbutton", name="Bandwidth B")
    expect(field).to_have_value("20")
    there.page.reload()
    expect(there.latency).to_have_text(here.latency.inner_text())


def test_bad_uploads_then_a_good_one(visit: Callable[..., Visit], onnx_net) -> None:
    here = visit()
    before = here.latency.inner_text()
    for name, content in (
        ("truncated.onnx", onnx_net()[:700]),
        ("renamed.onnx", b"Dear planner,\nthis is a text.\n" * 30),
    ):
        here.upload(name, content)
        expect(here.error).to_contain_text(f"{name}: ")
        assert "\n" not in here.error.inner_text()
        assert not NO_TRACEBACK.search(here.page.locator(MAIN).inner_text())
        expect(here.shown("dl.figures.old div:not(.what) dd").first).to_have_text(before)
        here.settle()
    here.upload("tiny.onnx", onnx_net())
    expect(here.model).to_have_value("tiny")
    expect(here.error).to_have_count(0)
    here.settle()
    here.go("Export")
    profile = ModelProfile.model_validate_json(here.download("profile.json"))
    assert [layer.name for layer in profile.layers] == ["first", "relu", "second"]
    assert profile.totals.macs == 405_504


@pytest.mark.slow
def test_open_dimensions_are_asked_for(visit: Callable[..., Visit], onnx_net) -> None:
    here = visit()
    here.upload("open.onnx", onnx_net(batch="N"))
    expect(here.error).to_contain_text("input 'image' has open dimensions")
    here.settle()
    field = here.page.get_by_role("textbox", name="Input shapes")
    field.fill("image=1,3,16,16")
    field.press("Enter")
    expect(here.figures).to_be_visible()
    expect(here.model).to_have_value("open")
    expect(here.error).to_have_count(0)


def test_hostile_names_stay_text(visit: Callable[..., Visit], onnx_net) -> None:
    here = visit("/layers")
    script = "<script>alert(1)</script>"
    link = '<a href="https://example.invalid">x</a> <img src=x onerror=alert(2)> %{x}'
    here.upload("![p](https:example.invalid) :smile: $x$ <b>.onnx", onnx_net(script, second=link))
    expect(here.model).to_have_value("![p](https:example.invalid) :smile: $x$ <b>")
    expect(here.page.get_by_text("2 layers of the plan")).to_be_visible()
    here.settle()
    chart = here.page.locator(".js-plotly-plot").first
    chart.scroll_into_view_if_needed()
    for position, name in enumerate((script, link)):
        traces = chart.locator(".subplot.xy .scatterlayer .trace")
        marker = traces.last.locator(".point").nth(position)
        box = marker.bounding_box()
        assert box is not None
        here.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(chart.locator(".hoverlayer .hovertext")).to_contain_text(name)
    assert chart.locator(".hoverlayer a").count() == 0
    for view in ("Answer", "Where the time goes", "Compare", "Export"):
        here.go(view)
        assert here.page.locator(f"{MAIN} img, {MAIN} a[href*=invalid]").count() == 0


@pytest.mark.slow
def test_downloads_are_the_shown_plan(visit: Callable[..., Visit]) -> None:
    here = visit("/export?limit=0.5")
    plan = Plan.model_validate_json(here.download("plan.json"))
    assert plan.node_count == 4
    assert plan.settings == CostSettings()
    assert plan.certificate is not None
    assert plan.certificate.status == "optimal"
    assert f"{plan.predicted.latency_s * 1e3:.3g} ms" in here.latency.inner_text()
    layers = list(csv.DictReader(io.StringIO(here.download("layers.csv").decode())))
    assert len(layers) == 175
    sparse = [layer.name for layer in plan.stages[0].layers if layer.sparsity]
    assert [row["layer"] for row in layers if row["kept features"]] == sparse and sparse
    profile = ModelProfile.model_validate_json(here.download("profile.json"))
    assert profile.totals.layers == len(layers)
    assert len(json.loads(here.download("cluster.json"))["nodes"]) == 4


def test_two_visitors_do_not_share_an_upload(visit: Callable[..., Visit], onnx_net) -> None:
    first, second = visit(), visit()
    first.upload("mine.onnx", onnx_net())
    expect(first.model).to_have_value("mine")
    second.page.reload()
    expect(second.figures).to_be_visible()
    expect(second.model).to_have_value("resnet50")
    assert "mine" not in second.page.locator("body").inner_text()


@pytest.mark.slow
def test_twenty_five_visitors_at_once_see_their_own_plans(
    browser: Browser, page_address: str, onnx_net
) -> None:
    visits = []
    for number in range(MANY):
        path = f"/?bandwidth={20 + number}&nodes={2 + number % 3}&model=resnet50-eighth"
        visits.append(Visit(browser.new_context().new_page(), page_address, path))
    for number, here in enumerate(visits):  # all are open: now all change something
        if number % 5 == 0:
            here.upload(f"net{number}.onnx", onnx_net())
        else:
            here.type_into("Bandwidth B", str(60 + number))
    for number, here in enumerate(visits):
        expect(here.model).to_have_value(f"net{number}" if number % 5 == 0 else "resnet50-eighth")
        expect(here.figures).to_be_visible()
        bandwidth = 20 + number if number % 5 == 0 else 60 + number
        expect(here.see_details().get_by_text(f"B {bandwidth} MB/s")).to_be_visible()
        expect(here.error).to_have_count(0)
        body = here.page.locator("body").inner_text()
        others = [n for n in range(0, MANY, 5) if n != number]
        assert not any(f"net{n} " in body for n in others)
    for here in visits:
        here.settle()
        here.page.context.close()
        assert here.trouble == []
