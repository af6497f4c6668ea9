"""A language model in a real browser: three interactions, one screen, nothing in a reader's way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from planner.domain.answer import AnswerPlan
from planner.units import format_rate, format_seconds
from profiles.presets import PRESETS
from tests.app.command import planner
from tests.page.test_access import AXE, faults
from tests.page.test_first_screen import DESK, PHONE
from tests.page.visiting import LANGUAGE, Visit

SMALL = PRESETS["llama-3.2-1b"] | {"num_hidden_layers": 8, "max_position_embeddings": 4096}
ASKED = "model=tinyllama-1.1b&cluster=arm-wireless&weight_bits=4.5"
MOST_INTERACTIONS = 3
SETTLED = "Promise.all(document.getAnimations().map(one => one.finished.catch(() => null)))"
"""Colours change step by step where a style says so."""


def boards() -> bytes:
    node = {"macs_per_s": 3e10, "memory_bytes": 2_000_000_000, "memory_bytes_per_s": 1.2e10}
    nodes = [{"name": f"board-{k}", **node} for k in range(4)]
    link = {"bandwidth_bytes_per_s": 117e6, "latency_s": 1e-4}
    return json.dumps({"name": "boards", "nodes": nodes, "link": link}).encode()


def test_tokens_per_second_in_three_interactions(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    config, cluster = tmp_path / "config.json", tmp_path / "boards.json"
    config.write_text(json.dumps(SMALL))
    cluster.write_bytes(boards())
    done = planner("answer", str(config), "-c", str(cluster), "--format", "json")
    plan = AnswerPlan.model_validate_json(done.out)
    here = visit("/?model=resnet50-eighth")
    here.drop(config.name, config.read_bytes())
    expect(here.figures).to_contain_text(LANGUAGE)
    here.settle()
    here.drop(cluster.name, cluster.read_bytes())
    expect(here.devices).to_contain_text("4 × boards")
    told = here.figures
    expect(told).to_contain_text(f"tokens per second{format_rate(plan.predicted.tokens_per_s)}")
    expect(told).to_contain_text(format_seconds(plan.predicted.first_token_s, 3))
    expect(told).to_contain_text(format_seconds(plan.predicted.answer_s, 3))
    assert here.clicks <= MOST_INTERACTIONS
    sentence = here.shown("h2").inner_text()
    assert f"first token after {format_seconds(plan.predicted.first_token_s)}" in sentence
    here.says = LANGUAGE
    here.settle()
    here.go("Export")
    found = AnswerPlan.model_validate_json(here.download("answer.json"))
    assert (found.predicted, found.stages) == (plan.predicted, plan.stages)
    assert found.certificate is not None and found.certificate.status == "optimal"


@pytest.mark.parametrize(("window", "screens"), [(DESK, 1), (PHONE, 3)])
def test_a_language_models_answer_stands_on_the_first_screen(
    visit: Callable[..., Visit], window: dict[str, int], screens: int
) -> None:
    here = visit(f"/?{ASKED}", says=LANGUAGE, viewport=window)
    pictures = here.shown("svg[role=img]")
    parts = {
        "answer": here.shown("h2").filter(has_text="tokens/s"),
        "one node": here.shown("p").filter(has_text="as fast as one node"),
        "figures": here.figures,
        "bars": pictures.filter(has_text="Memory for"),
        "drawing": pictures.filter(has_text="busiest"),
        "what fits": here.page.locator(".st-key-small_fits table"),
        "rules": here.page.locator(".st-key-small_rules table"),
    }
    for name, part in parts.items():
        expect(part, name).to_be_visible()
    here.settle()
    for name, part in parts.items():
        box = part.bounding_box()
        assert box is not None, name
        assert box["x"] >= 0 and box["x"] + box["width"] <= window["width"], name
        assert box["y"] >= 0 and box["y"] + box["height"] <= screens * window["height"], name
    assert here.sideways() <= 0


@pytest.mark.parametrize("view", ["", "compare"])
def test_nothing_serious_stands_in_the_way_of_a_language_models_reader(
    visit: Callable[..., Visit], view: str
) -> None:
    here = visit(f"/{view}?{ASKED}&nodes=2&prompt=16", says=LANGUAGE)
    expect(here.page.get_by_test_id("stProgress")).to_have_count(0)
    here.page.evaluate(AXE)
    assert faults(here) == []
    here.page.emulate_media(color_scheme="dark")
    here.settle()
    here.page.evaluate(SETTLED)
    assert faults(here, "color-contrast") == []


def test_a_search_shows_how_far_it_is_and_stops(visit: Callable[..., Visit]) -> None:
    here = visit("/?model=llama-3.1-70b&cluster=a100-nvlink&nodes=8", says=LANGUAGE)
    place = here.page.locator(".st-key-room_fits")
    expect(place).to_contain_text("Trying contexts: 1 of 7")
    place.get_by_role("button", name="Stop").click()
    expect(place).to_contain_text("Trying contexts was stopped")
    expect(place.get_by_role("button", name="Start again")).to_be_visible()
