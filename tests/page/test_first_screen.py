"""The first screen in a real browser: all of it at once, and steps that keep their word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.page.visiting import Visit

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


def parts(here: Visit) -> dict[str, Locator]:
    """What the first screen must hold."""
    pictures = here.shown("svg[role=img]")
    return {
        "answer and comparison": here.shown("h2").filter(has_text="faster than one"),
        "figures": here.figures,
        "bars": pictures.filter(has_text="waits"),
        "drawing": pictures.filter(has_text="busiest"),
        "first step": here.page.locator(".st-key-step_1 button"),
        "third step": here.page.locator(".st-key-step_3 button"),
    }


@pytest.mark.parametrize(("window", "screens"), [(DESK, 1), (PHONE, 2)])
def test_the_answer_stands_on_the_first_screen(
    visit: Callable[..., Visit], window: dict[str, int], screens: int
) -> None:
    here = visit(viewport=window)
    for name, part in parts(here).items():
        expect(part, name).to_be_visible()
        box = part.bounding_box()
        assert box is not None, name
        assert box["x"] >= 0 and box["x"] + box["width"] <= window["width"], name
        assert box["y"] >= 0 and box["y"] + box["height"] <= screens * window["height"], name
    assert here.sideways() <= 0


def test_a_next_step_gives_what_it_promised(visit: Callable[..., Visit]) -> None:
    here = visit(viewport=DESK)
    before = here.latency.inner_text()
    promised = here.page.locator(".st-key-step_1").inner_text()
    here.page.locator(".st-key-step_1 button").click()
    expect(here.latency).not_to_have_text(before)
    assert here.latency.inner_text() in promised
