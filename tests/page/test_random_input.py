"""Random values through every address key and every widget: the page answers or says what is wrong.

Never "This app has encountered an error": whatever comes from a visitor is checked before anything
is worked out or drawn from it.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from app.page.address import CONTROLS, read_link
from planner.domain.cluster import Cluster, Link, Node
from tests.examples import some
from tests.page.driving import MAIN, good, opened, texts
from tests.processor_time import HANG_S

VIEWS = ("", "time", "layers", "compare", "trade-off", "what-if", "sources", "hardware", "export")
NUMBERS = (
    "nan inf -inf 0 -0 -1 1 2 3 16 17 5e-324 1e-300 1e-40 1e-6 0.5 1e6 1e12 1e29 1e30 1e40 1e308 "
    "1e999 true none 10000000000000000000000 1_0 ٣"
).split()
JSON_NUMBERS = ("NaN", "Infinity", "-Infinity", "9" * 400, "true", "null", '"5"', "5e-324", "1e308")
FAST = {"model": "resnet50-eighth", "nodes": "2"}


def cluster_text(**node: Any) -> str:
    fields = {"name": "a", "macs_per_s": 1e9} | node
    nodes = (Node(**fields), Node(name="b", macs_per_s=2e9))
    return Cluster(name="mine", nodes=nodes, link=Link(bandwidth_bytes_per_s=1e6)).model_dump_json()


def survives(page: AppTest) -> AppTest:
    assert not page.exception, [x.value for x in page.exception]
    return page


def source_texts(number: str) -> list[str]:
    """A source with a number in each of its places."""
    cells = (f"{number}, 5", f"5.0, {number}", f"1.0, 5, {number}")
    return [f'[["node-1", {values}]]' for values in cells]


@pytest.mark.parametrize("number", JSON_NUMBERS)
def test_no_source_of_an_address_is_taken_unchecked(number: str) -> None:
    for text in source_texts(number)[: 1 if number == "null" else 2]:
        link = read_link({"sources": text})
        assert len(link.problems) == 1 and link.problems[0].startswith("sources")
        assert link.values["sources"] == ""


def test_sources_that_cannot_be_are_said_and_the_usual_ones_stand() -> None:
    page = opened("sources", **FAST, sources='[["node-1", NaN, 5]]')
    assert "The link was not understood everywhere" in texts(page)
    assert "800 inputs from node-1, node-2" in texts(page)


@pytest.mark.parametrize("speed", ["5e-324", "1e-39", "0", "NaN", "1e308", "true"])
def test_no_speed_of_a_node_breaks_the_page(speed: str) -> None:
    text = cluster_text().replace("1000000000.0", speed)
    assert speed in text
    page = opened(cluster="own", hardware=text, model="resnet50-eighth")
    assert "hardware" in texts(page)


@pytest.mark.parametrize("speed", [1e-29, 1e-12, 1e29])
def test_a_speed_at_the_edge_has_a_plan_and_stands_in_its_control(speed: float) -> None:
    text = cluster_text(macs_per_s=speed).replace("2000000000.0", repr(speed))
    page = opened("hardware", cluster="own", hardware=text, model="resnet50-eighth")
    assert page.session_state["compute"] == pytest.approx(speed / 1e9)


def test_a_control_beyond_what_a_cluster_may_have_is_a_message_and_the_last_plan_stays() -> None:
    page = opened(**FAST)
    survives(page.number_input(key="bandwidth").set_value(1e-39).run())
    assert "1e-30" in texts(page)
    good(page.number_input(key="bandwidth").set_value(37.5).run())


def _address() -> st.SearchStrategy[dict[str, str]]:
    words = st.sampled_from(
        [*NUMBERS, "", "[]", "{", "own", "file", "csv", "energy", "image=1,3,9", "image=1,3,64,64"]
    )
    of_kind = {
        key: st.sampled_from([*getattr(x.kind, "words", ()), "1"]) | words
        for key, x in CONTROLS.items()
    }
    sources = st.sampled_from([text for n in (*JSON_NUMBERS, "2") for text in source_texts(n)])
    speeds = st.sampled_from([1e-29, 1e-3, 1e9, 9e29]).map(lambda x: cluster_text(macs_per_s=x))
    of_kind |= {"sources": sources, "hardware": speeds | words}
    return st.fixed_dictionaries({}, optional=of_kind)


ADDRESSES = _address()
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)  # a run of the page takes a second


@pytest.mark.thorough
@settings(some(0.15), phases=UNSHRUNK, suppress_health_check=list(HealthCheck))
@given(ADDRESSES, st.sampled_from(("", "compare", "time", "export")), st.integers(0, 2**32))
def test_a_walk_through_a_language_models_page(query: dict[str, str], view: str, seed: int) -> None:
    walk(query | {"model": "tinyllama-1.1b", "source": "catalogue"}, view, random.Random(seed))


@pytest.mark.thorough
@settings(some(0.2), phases=UNSHRUNK, suppress_health_check=list(HealthCheck))
@given(ADDRESSES, st.sampled_from(VIEWS), st.integers(0, 2**32))
def test_a_walk_through_addresses_and_widgets(query: dict[str, str], view: str, seed: int) -> None:
    walk(query | {"points": "3", "model": "resnet50-eighth"}, view, random.Random(seed))


def walk(small: dict[str, str], view: str, chance: random.Random) -> None:
    """Open the page and change it; what widgets there are depends on how far a search is."""
    page = AppTest.from_file(str(MAIN), default_timeout=HANG_S)
    page.query_params.update(small)
    survives(page.run())
    if view:
        page._page_hash = calc_hash(view)
        survives(page.run())
    for _ in range(2):
        change(page, chance)
        survives(page.run())


def change(page: AppTest, chance: random.Random) -> None:
    """Another value for a widget of the page, as a browser could send it."""
    found = [
        *(*page.number_input, *page.selectbox, *page.toggle, *page.text_input),
        *(x for x in page.get("button_group") if x.key and x.key != "ways"),
    ]
    widgets = [x for x in found if not getattr(x, "disabled", False)]
    widget = chance.choice(widgets)
    if widget.type == "number_input":
        least = -float("inf") if widget.min is None else widget.min
        most = float("inf") if widget.max is None else widget.max
        kind = type(widget.step)
        values = [
            widget.min,
            widget.max,
            kind(1),
            None if widget.value is None else widget.value,
            kind(2),
        ]
        allowed = [x for x in values if x is None or least <= x <= most]
        widget.set_value(chance.choice(allowed))
    elif widget.type == "toggle":
        widget.set_value(not widget.value)
    elif widget.type == "text_input":
        widget.set_value(chance.choice([*NUMBERS, "image=1,3,64,64", "\x1b", "<b>"]))
    elif widget.type == "selectbox":
        widget.set_value(chance.choice(widget.options))
    else:
        widget.set_value(chance.choice(widget.options))
