"""Nodes that run every way share nothing, and their slices are read back from a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from planner.errors import BadInputError
from planner.runtime import slice_model
from planner.runtime.documents import NodeDocument, StepDocument, node_from
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.slices import Slices
from profiles.from_torch.saved_slices import load_slices, save_slices
from tests.runtime import networks, spread_networks
from tests.runtime.cases import example, traced
from tests.runtime.test_isolation import storages, undisturbed_by_others
from tests.runtime.test_saved import change
from tests.runtime.way_plans import way_plan

CASES = {
    "inception": (spread_networks.Inception, (2, 3, 17, 15)),
    "segmenter": (spread_networks.Segmenter, (2, 3, 10, 8)),
    "windows": (spread_networks.Windows, (2, 3, 16, 16)),
    "norms": (networks.Norms, (2, 3, 8, 8)),
    "transformer": (networks.Transformer, (2, 3, 16, 16)),
}


@pytest.fixture(scope="module", params=CASES)
def subject(request: pytest.FixtureRequest) -> TracedModel:
    make, shape = CASES[request.param]
    return traced(make(), *shape)


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]


def sliced(model: TracedModel, seed: int) -> Slices:
    groups = [[1.0, 2.0, 1.0], [1.0], [1.0, 3.0]]
    plan = way_plan(model, groups, np.random.default_rng(seed), casting="broadcast")
    return slice_model(model, plan, select=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_others_hold_changes_nothing_but_through_messages(
    subject: TracedModel, seed: int
) -> None:
    undisturbed_by_others(sliced(subject, seed), example(subject))


def test_no_memory_is_shared_between_nodes_or_with_the_model(subject: TracedModel) -> None:
    slices, inputs = sliced(subject, 5), example(subject)
    slices.run(*inputs)
    owners: dict[int, str] = {}
    for name, pointer in storages(slices):
        assert owners.setdefault(pointer, name) == name
    own = {i.untyped_storage().data_ptr() for i in (*subject.module.parameters(), *inputs)}
    assert not own & {pointer for _, pointer in storages(slices)}


def test_what_no_later_layer_reads_is_forgotten(subject: TracedModel) -> None:
    """Behind the last layer nodes hold outputs, and what was handed to a group that came later."""
    model_inputs = {spec.name for spec in subject.profile.inputs}
    plan = way_plan(subject, [[1.0, 2.0, 1.0]], np.random.default_rng(6))
    slices = slice_model(subject, plan, select=True)
    slices.run(*example(subject))
    kept = model_inputs | set(subject.profile.outputs)
    for node in slices.nodes.values():
        assert {key.partition(" by ")[0] for key in node.values} <= kept


@pytest.mark.parametrize("seed", SEEDS)
def test_saved_slices_run_as_before(subject: TracedModel, seed: int, tmp_path: Path) -> None:
    slices, inputs = sliced(subject, seed), example(subject)
    save_slices(slices, tmp_path)
    again = load_slices(tmp_path)
    assert again.predicted == slices.predicted
    for found, expected in zip(
        again.run(*inputs).outputs, slices.run(*inputs).outputs, strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slices")
    model = traced(spread_networks.Segmenter(), 2, 3, 10, 8)
    wanted = dict.fromkeys((layer.name for layer in model.profile.layers), "positions")
    plan = way_plan(model, [[1.0, 2.0]], np.random.default_rng(0), wanted=wanted)
    save_slices(slice_model(model, plan, select=True), folder)
    return folder


def test_sends_and_receives_say_the_same_of_their_positions(saved: Path) -> None:
    sent, received = set(), set()
    for number, name in enumerate(("n0", "n1")):
        node = json.loads((saved / f"node{number}.json").read_text())
        for step in node["steps"]:
            for item in step["sends"]:
                what = str([item[axis] for axis in ("features", "positions", "samples")])
                sent.add((name, item["receiver"], item["message"], what))
            for item in step["receives"]:
                what = str([item[axis] for axis in ("features", "positions", "samples")])
                received.add((item["sender"], name, item["message"], what))
    assert sent == received
    assert any("[None, [[" in what for _, _, _, what in sent)  # rows of all features


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"fill": 0.0', '"fill": "much"', "'?much'? fills nothing|is no argument"),
        ('"fill": 0.0', '"fill": {"float": "1"}', "is no argument"),
        ('"fill": 0.0', '"fill": true', "fills nothing"),
        ('"fill": 0.0', '"fill": [1]', "fills nothing"),
        ('"macs": null', '"macs": "many"', "macs"),
        ('"kernel": "resample"', '"kernel": "resampled"', "'resampled' is no kernel"),
        ('"positions": [', '"positions": [[0],', "positions"),
        ('"schema_version": 3', '"schema_version": 4', "schema_version"),
    ],
)
def test_damaged_documents_are_refused(
    saved: Path, tmp_path: Path, old: str, new: str, line: str
) -> None:
    with pytest.raises(BadInputError, match=line) as caught:
        load_slices(change(saved, tmp_path, "node0.json", old, new))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kernel", ["add", "take"])
def test_a_sum_of_nothing_is_refused(kernel: str) -> None:
    step = StepDocument(
        name="a", layer="a", kernel=kernel, target="", arguments={}, position=0, operands=(),
        weights=(), shape=(1,), sends=(), receives=(), tells=(), told={}, frees=(),
    )  # fmt: skip
    with pytest.raises(BadInputError, match=f"step 'a': '{kernel}' has no operand"):
        node_from(NodeDocument(node="n0", steps=(step,)), {})
