"""Refusals of words on the command line and in the page that no other test brings about."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.page.source_text import check_sources, sources_of
from app.question import ask
from planner.errors import BadInputError
from planner.measure.fit import fit_models
from planner.measure.parts import NodeMeasurement
from planner.runtime.documents import dtype_named
from profiles.catalog import load_model
from profiles.files import document_text, read_document
from tests.app.command import one_line, planner
from tests.measure.made import node_part
from tests.planner.builders import Net


def message_of(action: Callable[[], object]) -> str:
    with pytest.raises(BadInputError) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "[[]]", '["a"]', "[" * 100_000, '[["a", 1, 2, 3, 4, 5, 6, 7]]']
)
def test_sources_that_are_none(text: str) -> None:
    said = message_of(lambda: sources_of(text))
    assert said.startswith("sources: found ")
    assert '; give [["node-1", 5.0, 200], …], 1 to ' in said


def test_a_row_of_sources_that_no_source_may_be() -> None:
    good = {"node": "a", "arrivals": {"kind": "poisson", "rate_per_s": 1.0, "total": 2}}
    check_sources([good])
    bad = {"node": "", "arrivals": good["arrivals"]}
    assert message_of(lambda: check_sources([good, bad])).startswith("sources, row 2: node: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda part: part["figures"][0].update(key="colour"), "figures: the node has no 'colour'"),
        (
            lambda part: part["figures"][0].update(key="macs_per_s_by_kind.sort"),
            "figures: the node has no 'macs_per_s_by_kind.sort'",
        ),
        (
            lambda part: part["figures"][0].update(key="name"),
            "figures: the node has no 'name'",
        ),
    ],
)
def test_figures_that_a_node_lacks(tmp_path: Path, change: Any, message: str) -> None:
    part = json.loads(document_text(node_part()))
    change(part)
    path = tmp_path / "part.json"
    path.write_text(json.dumps(part))
    said = message_of(lambda: read_document(path, NodeMeasurement, what="part"))
    assert message in said


def test_times_of_models_that_tell_nothing() -> None:
    profile = load_model("resnet50")
    net = Net()
    net.local("image")
    still = net.profile()
    said = message_of(lambda: fit_models("a", [(still, 1.0)], source="t", only_rate=True))
    assert said == f"{still.name}: has no MACs, so its time tells no rate"
    said = message_of(
        lambda: fit_models("a", [(profile, float("nan"))], source="t", only_rate=True)
    )
    assert said == f"{profile.name}: found nan seconds; give a number above 0"
    assert message_of(lambda: fit_models("a", [], source="t", only_rate=True)) == (
        "no times: give that of one model or more"
    )


def test_types_that_are_none() -> None:
    said = message_of(lambda: dtype_named("float33"))
    assert said.startswith("'float33' is no type; there are ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("measure", "join", "{part}", "{part}", "--link", "fast"), "or a kind of link: "),
        (("measure", "node", "--name", ""), "--name: "),
        (
            ("export", "{plan}", "--to", "{there}", "--model", "resnet50"),
            "are for masks: give --weights FILE",
        ),
    ],
)
def test_words(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    part, plan = tmp_path / "part.json", tmp_path / "plan.json"
    part.write_text(document_text(node_part()))
    if "{plan}" in words:
        made = planner("plan", "resnet50", "--cluster", "small-nodes", "-o", str(plan))
        assert made.code == 0, made.err
    named = {"part": part, "plan": plan, "there": tmp_path / "there"}
    done = planner(*(word.format(**named) for word in words))
    assert done.code == 2
    assert message in one_line(done)


def test_limits_and_figures_that_cannot_be() -> None:
    said = message_of(lambda: ask("small-nodes", max_nodes=2, max_latency_s=-1.0))
    assert said.startswith("max_latency_s: found -1")
    tiny = ask("small-nodes", max_nodes=2, changes=("compute=1e-60x",))
    assert "nodes[0].macs_per_s: found " in message_of(lambda: tiny.tuned_cluster)
