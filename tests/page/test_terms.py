"""Every label of the page leads to what it means: the glossary's words, or a reason why not."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.glossary import explained
from app.page.hints import hint, hinted
from tests.page.driving import BYTES, good, opened
from tests.page.test_measured import run_of
from tests.page.visiting import VIEWS

REASONS = {
    "note": "a sentence",
    "why not": "a sentence",
    "why no more": "a sentence",
    "value": "what the row's name says",
    "value (SI)": "of the quantity beside it",
    "quantity": "its cells are the terms",
    "how much": "half or twice",
    "number": "counts the rows",
    "what": "its cells are the terms",
    "of": "names of layers",
    "start (ms)": "when",
    "end (ms)": "when",
    "seconds": "when",
    "line": "which of the chart's",
    "ratio": "of the two columns before it",
    "layers further on": "counts",
    "name": "chosen by whoever made the cluster",
    "Name of the cluster": "chosen by whoever made it",
    "device type": "chosen by whoever made the cluster",
    "where from": "a source in words",
    "A": "the pinned plan",
    "B": "the present one",
    "B - A": "of the plans beside it",
    "B / A": "of the plans beside it",
    "than A": "the pinned plan",
    "the plan of": "names follow",
    "these are of": "words follow",
    "bytes": "a unit",
    "time (s)": "since the beginning",
    "time (ms)": "of what the legend says",
    "time so far (ms)": "of what the legend says",
    "half as much": "of what stands beside the bar",
    "twice as much": "of what stands beside the bar",
    "local and the rest": "the other flows",
    "read further on": "the caption says it",
    "processor holds it back": "plain",
    "Use these devices": "a button",
}
"""Labels without a term, and why they need none."""

CONTROLS = ("number_input", "selectbox", "multiselect", "toggle", "text_input", "button_group")
NAMES = ("strategy", "policy", "node")
"""Columns whose cells are names: a legend that has them says the same."""

OF = {
    "model": "resnet50-eighth",
    "nodes": "2",
    "ways": "features",
    "trade": "throughput",
    "points": "3",
    "target": "5",
}
OF_LAYERS = {"ways": "features,positions", "sparsity": "0.5"}
OF_LANGUAGE = {"model": "tinyllama-1.1b", "cluster": "arm-wireless", "nodes": "1"}

pytestmark = pytest.mark.usefixtures("lingering")


def elements(block: Any) -> Iterator[Any]:
    """All elements below a block, in order."""
    for child in getattr(block, "children", {}).values():
        yield child
        yield from elements(child)


def heads(page: AppTest) -> Iterator[tuple[str, str]]:
    """The heads of every table, with what they say when one points at them."""
    for frame in page.dataframe:
        columns = json.loads(frame.proto.columns or "{}")
        for key in frame.value.columns:
            said = columns.get(key, {})
            yield said.get("label") or key, said.get("help") or ""
    for element in page.get("html"):
        found = re.findall(r"<(?:dt|th)([^>]*)>([^<]*)</(?:dt|th)>", element.proto.body)
        yield from ((html.unescape(label), html.unescape(more)) for more, label in found)


def controls(page: AppTest) -> Iterator[tuple[str, str]]:
    """The labels that stand beside controls and figures, with their help."""
    for element in elements(page._tree):
        shown = getattr(element, "proto", None)
        is_one = getattr(element, "type", "") in (*CONTROLS, "metric")
        if is_one and not shown.label_visibility.value:  # else no label stands there
            yield shown.label, shown.help


def drawn(page: AppTest) -> Iterator[str]:
    """Titles of axes and names of legends."""
    for element in page.get("plotly_chart"):
        found = json.loads(element.proto.spec)
        for name, axis in found["layout"].items():
            if re.match("[xy]axis", name) and axis.get("title", {}).get("text"):
                yield axis["title"]["text"]
        for trace in found["data"]:
            if trace.get("name") and trace.get("showlegend", True):
                yield trace["name"]


def names(page: AppTest) -> set[str]:
    """Proper names that a table of the page has."""
    frames = [frame.value for frame in page.dataframe]
    return {str(x) for one in frames for key in NAMES if key in one for x in one[key]}


def with_tables(page: AppTest) -> AppTest:
    """The page with the table behind every chart and drawing."""
    keys = [f"chart_{x.proto.id.rpartition('chart_')[2]}" for x in page.get("plotly_chart")]
    files = [f"{key.removeprefix('chart_')}.csv" for key in (*keys, "times", "cluster", "nodes")]
    for file in files:
        page.session_state[f"numbers_{file}"] = True
    return page.run()


def unexplained(page: AppTest) -> set[str]:
    """Labels that lead nowhere, without a reason."""
    lost = {label for label, said in (*heads(page), *controls(page)) if not said.strip()}
    said = " ".join(caption.proto.help for caption in page.caption)
    for label in drawn(page):
        words = (hint(label) or "").split("\n\n")
        if not explained(label) or not all(line in said for line in words):
            lost.add(label)
    known = names(page)
    return {x for x in lost if x not in REASONS and re.sub(r" \d+%$", "", x) not in known}


@pytest.mark.parametrize("view", [*VIEWS.values(), "model"])
def test_every_label_of_a_view_leads_to_what_it_means(view: str) -> None:
    page = with_tables(opened(view, **OF | (OF_LAYERS if view == "layers" else {})))
    assert list(drawn(page)) or page.dataframe or view in ("measured", "export")
    assert unexplained(page) == set()


@pytest.mark.parametrize("view", ["", "compare", "export"])
def test_and_so_does_every_label_about_a_language_model(view: str) -> None:
    page = with_tables(opened(view, **OF_LANGUAGE))
    assert len(set(controls(page))) > 10
    assert unexplained(page) == set()


def test_and_so_do_two_plans_beside_each_other_and_a_run() -> None:
    page = good(opened("measured", **OF).button(key="pin").click().run())
    good(page.number_input(key="bandwidth").set_value(20).run())
    content = run_of(2).model_dump_json().encode()
    page.file_uploader(key="measured_upload").set_value(("m.json", content, BYTES))
    good(page.run())
    assert {"B / A", "measured comp. (ms)"} <= set(dict(heads(page)))
    assert unexplained(page) == set()


def test_a_label_in_html_is_told_to_a_pointer_and_to_keys() -> None:
    assert hinted("dt", "the <plan> of") != hinted("dt", "<of>") == "<dt>&lt;of&gt;</dt>"
    head = hinted('th scope="col"', "tokens/s")
    assert head.startswith('<th scope="col" tabindex="0" title="tokens per second, tokens/s: ')
    assert head.endswith(">tokens/s</th>")
    assert "activations" in hinted("dt", "on the fullest node", "memory")
    assert hint("no such thing") is None and hint("no such thing", first="So.") == "So."
