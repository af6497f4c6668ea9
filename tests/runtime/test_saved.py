"""Slices in a folder: what is written is complete, and what is read is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from planner.errors import BadInputError
from planner.runtime import slice_model
from planner.runtime.documents import _encoded
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.slices import Slices
from profiles.from_torch.saved_slices import load_share, load_slices, save_slices
from tests.runtime import networks
from tests.runtime.cases import example, random_plan, traced

CASES = {
    "residual": (networks.Residual, (1, 3, 16, 16)),
    "depthwise": (networks.Depthwise, (1, 3, 16, 16)),
    "dense": (networks.Dense, (1, 3, 8, 8)),
    "norms": (networks.Norms, (1, 3, 8, 8)),
    "reductions": (networks.Reductions, (1, 5, 6)),
    "recurrent": (networks.Recurrent, (1, 5, 6)),
    "transformer": (networks.Transformer, (1, 3, 16, 16)),
}


def sliced(model: TracedModel) -> Slices:
    plan = random_plan(model, [[1.0, 2.0], [1.0, 1.0, 1.0]], np.random.default_rng(7))
    return slice_model(model, plan, select=True)


@pytest.mark.parametrize("family", CASES)
def test_saved_slices_run_as_before(family: str, tmp_path: Path) -> None:
    make, shape = CASES[family]
    model = traced(make(), *shape)
    slices, inputs = sliced(model), example(model)
    save_slices(slices, tmp_path / "new" / "folder")
    again = load_slices(tmp_path / "new" / "folder")
    assert again.predicted == slices.predicted
    for found, expected in zip(
        again.run(*inputs).outputs, slices.run(*inputs).outputs, strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slices")
    save_slices(sliced(traced(networks.Residual(), 1, 3, 16, 16)), folder)
    return folder


def test_a_file_tells_what_a_deployment_needs(saved: Path) -> None:
    """Sends and receives match, and are the features whose columns the receiver stores."""
    index = json.loads((saved / "slices.json").read_text())
    nodes = {
        name: json.loads((saved / f"{stem}.json").read_text())
        for name, stem in index["files"].items()
    }
    sent, received = set(), set()
    for name, node in nodes.items():
        weights = load_file(saved / f"{index['files'][name]}.safetensors")
        for step in node["steps"]:
            for item in step["sends"]:
                sent.add((name, item["receiver"], item["message"], str(item["features"])))
            for item in step["receives"]:
                received.add((item["sender"], name, item["message"], str(item["features"])))
            if step["layer"] == "second":
                count = sum(b - a for item in step["receives"] for a, b in item["features"])
                columns = weights["second/weight"].shape[1]
                assert columns == step["operands"][0]["shape"][1] >= count > 0
    assert sent == received and len(sent) > 10


def change(saved: Path, copy: Path, name: str, old: str, new: str) -> Path:
    for path in saved.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new, 1))
    return copy


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("node0.json", "conv2d.default", "from_file.default", "no operator that a slice calls"),
        ("node0.json", "conv2d.default", "relu_.default", "no operator that a slice calls"),
        ("node0.json", "conv2d.default", "nothing.at_all", "no operator that a slice calls"),
        ("node0.json", '"kernel": "aten"', '"kernel": "exec"', "'exec' is no kernel"),
        ("node0.json", '"weights": [', '"weights": ["other",', "has no tensor '.*/other'"),
        ("node0.json", '"steps"', '"stops"', "steps: is missing"),
        ("node0.json", '"operand": 0', '"other": 0', "is no argument"),
        ("slices.json", '"node1"', '"../node1"', "is no name of a file"),
        ("slices.json", '"n1": "node1",', "", "'n1'"),
        ("slices.json", '"schema_version": 3', '"schema_version": 9', "9"),
    ],
)
def test_damaged_documents_are_refused(
    saved: Path, tmp_path: Path, name: str, old: str, new: str, line: str
) -> None:
    with pytest.raises(BadInputError, match=line) as caught:
        load_slices(change(saved, tmp_path, name, old, new))
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_tensors_are_refused(saved: Path, tmp_path: Path) -> None:
    copy = change(saved, tmp_path, "slices.json", "", "")
    (copy / "node0.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match=r"node0\.safetensors"):
        load_slices(copy)
    (copy / "node0.safetensors").unlink()
    with pytest.raises(BadInputError, match=r"node0\.safetensors"):
        load_slices(copy)
    with pytest.raises(BadInputError, match=r"slices\.json"):
        load_slices(tmp_path / "nowhere")


def test_an_output_of_a_node_that_holds_none_of_it_is_refused(saved: Path, tmp_path: Path) -> None:
    copy = change(saved, tmp_path, "slices.json", "", "")
    index = json.loads((copy / "slices.json").read_text())
    for name, missing in (("n9", "'n9'"), ("n0", "'#output/other'")):
        output = {**index["outputs"][0], "name": "other", "nodes": [name]}
        (copy / "slices.json").write_text(json.dumps(index | {"outputs": [output]}))
        with pytest.raises(BadInputError) as caught:
            load_slices(copy)
        assert str(caught.value) == f"slices {copy}/slices.json: {missing} is not there"


def _no_run(index: dict[str, Any]) -> None:
    index["run"] = None


def _no_type(index: dict[str, Any]) -> None:
    index["run"]["messages"] = [{**item, "dtype": "float33"} for item in index["run"]["messages"]]


def _no_node(index: dict[str, Any]) -> None:
    index["stretches"][0]["nodes"].append("n9")


@pytest.mark.parametrize(
    ("edit", "node", "line"),
    [
        (lambda index: None, "n9", "have no node 'n9'; n0, n1"),
        (_no_run, "n0", "were written by an earlier version and do not say what is sent; write th"),
        (_no_type, "n0", r"slices\.json: 'float33' is no type; there are"),
        (_no_node, "n0", "there is no node 'n9'"),
    ],
)
def test_a_share_that_cannot_be_had(
    saved: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None], node: str, line: str
) -> None:
    copy = change(saved, tmp_path, "slices.json", "", "")
    index = json.loads((copy / "slices.json").read_text())
    edit(index)
    (copy / "slices.json").write_text(json.dumps(index))
    with pytest.raises(BadInputError, match=line) as caught:
        load_share(copy, node)
    assert "\n" not in str(caught.value)


def test_a_folder_whose_index_is_a_folder(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "slices.json").mkdir()
    with pytest.raises(BadInputError, match=r"cannot be written: Is a directory"):
        save_slices(load_slices(saved), tmp_path)


def test_a_place_that_is_no_folder(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="cannot be made"):
        save_slices(load_slices(saved), tmp_path / "file" / "folder")


def test_an_argument_that_no_document_holds() -> None:
    with pytest.raises(BadInputError, match="an argument of the type complex cannot be saved"):
        _encoded([1, 1j])
