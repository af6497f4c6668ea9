"""Patterns in files: what is written is read again, and what does not fit is refused in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import BadInputError
from planner.runtime import slice_model
from planner.runtime.cutting.patterns import recognised
from planner.runtime.pattern_documents import PartDocument, pattern_of, pattern_parts
from planner.runtime.running.operands import arranged
from profiles.from_torch.saved_slices import load_slices, save_slices
from tests.runtime import networks
from tests.runtime.cases import random_plan, traced


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    seed=st.integers(0, 2**32 - 1),
    steady=st.booleans(),
)
def test_a_pattern_is_read_as_it_was_written(
    sizes: list[int], shape: list[int], seed: int, steady: bool
) -> None:
    rng, count = np.random.default_rng(seed), int(np.prod(shape))
    index = rng.integers(-1, sum(sizes), count)
    if steady:
        index = np.minimum(np.arange(count), sum(sizes) - 1)
    pattern = recognised(index, sizes, tuple(shape))
    tensors: dict[str, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> str:
        tensors[str(len(tensors))] = tensor
        return str(len(tensors) - 1)

    parts = pattern_parts(pattern, keep)
    text = json.dumps([part.model_dump() for part in parts])
    again = tuple(PartDocument.model_validate(part) for part in json.loads(text))
    padded = bool((index < 0).any())
    found = pattern_of(again, len(sizes), padded, count, tensors, "here")
    sources = torch.split(torch.arange(sum(sizes)), sizes)
    assert arranged(found, sources, -1).reshape(-1).tolist() == index.tolist()


SOURCE = {"kind": "source", "of": [0]}
VIEW = {
    "kind": "view", "of": [0], "split": [2, 3], "takes": [None, None], "order": [1, 0],
    "sizes": [3, 2], "shape": [6],
}  # fmt: skip
TENSORS = {
    "good": torch.tensor([2, 0, 1]),
    "far": torch.tensor([0, 1, 3]),
    "negative": torch.tensor([0, 1, -1]),
    "matrix": torch.zeros(1, 3, dtype=torch.int64),
    "fraction": torch.zeros(3),
    "bytes": torch.zeros(3, dtype=torch.uint8),
}


def read(*parts: dict[str, Any], padded: bool = False) -> None:
    documents = tuple(PartDocument.model_validate(part) for part in parts)
    pattern_of(documents, 1, padded, 6, TENSORS, "step 'a'")


def test_what_fits_is_read() -> None:
    read(SOURCE)
    read(SOURCE, VIEW)
    read(SOURCE, VIEW | {"takes": [None, "good"]})
    row = VIEW | {"split": [6], "takes": [[0, 4, 1]], "order": [0], "sizes": [4], "shape": [4]}
    read(SOURCE, row, {"kind": "pad", "of": [1], "entries": [[1, 1]]}, padded=True)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"of": [1]}, "part 1 is not before it"),
        ({"of": [-1]}, "part -1 is not before it"),
        ({"of": []}, "is of one part"),
        ({"of": [0, 0]}, "part 0 is in it twice"),
        ({"split": [2, -3]}, "split has a size that none is"),
        ({"split": [2**30, 2**30]}, "elements"),
        ({"takes": [None]}, "takes something along 1 of 2"),
        ({"takes": [None, [0, 4, 1]]}, r"\[0, 4, 1\] is no slice of 3 entries"),
        ({"takes": [None, [-1, 2, 1]]}, "is no slice of 3 entries"),
        ({"takes": [None, [2, 2, 1]]}, "is no slice of 3 entries"),
        ({"takes": [None, [0, 3, 0]]}, "is no slice of 3 entries"),
        ({"takes": [None, [0, 3, -1]]}, "is no slice of 3 entries"),
        ({"takes": [None, "none"]}, "has no tensor 'none'"),
        ({"takes": [None, "far"]}, "'far' leads out of the 3 entries"),
        ({"takes": [None, "negative"]}, "'negative' leads out of the 3 entries"),
        ({"takes": [None, "matrix"]}, "'matrix' is no index"),
        ({"takes": [None, "fraction"]}, "'fraction' is no index"),
        ({"takes": [None, "bytes"]}, "'bytes' is no index"),
        ({"order": [0, 0]}, r"\(0, 0\) is no order of 2"),
        ({"order": [0, 2]}, "is no order of 2"),
        ({"sizes": [6]}, "has 1 sizes for 2 dimensions"),
        ({"sizes": [3, 4], "shape": [12]}, "repeats 2 entries to 4"),
        ({"shape": [7]}, r"shapes \(3, 2\) as \(7,\)"),
        ({"sizes": [3, 1], "shape": [3]}, "repeats 2 entries to 1"),
        ({"takes": [[0, 1, 1], None], "sizes": [3, 1], "shape": [3]}, "has 3 elements, its oper"),
    ],
)
def test_views_that_do_not_fit_are_refused(change: dict[str, Any], line: str) -> None:
    with pytest.raises(BadInputError, match=f"step 'a': pattern: .*{line}") as caught:
        read(SOURCE, VIEW | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ([], "has no part"),
        ([{"kind": "source", "of": [1]}], "there is no source 1"),
        ([{"kind": "source", "of": []}], "names one source"),
        ([SOURCE, SOURCE], "part 0 is in no other"),
        ([SOURCE, {"kind": "join", "of": [0]}], "is of views, joins and pads"),
        ([{"kind": "join", "of": []}], "is of views, joins and pads"),
        ([SOURCE, VIEW, {"kind": "join", "of": [1], "axis": 1}], "there is no dimension 1"),
        ([SOURCE, VIEW, {"kind": "join", "of": [0]}], "part 0 is not before it"),
        ([SOURCE, {"kind": "pad", "of": [0], "entries": [[0, 0]]}], "not said what fills it"),
        ([SOURCE, VIEW, *({"kind": "join", "of": [n]} for n in range(1, 40))], "deeper than 32"),
        (
            [
                SOURCE, SOURCE, VIEW, VIEW | {"of": [1], "shape": [3, 2]},
                {"kind": "join", "of": [2, 3]},
            ],
            r"\(3, 2\) does not stand behind \(6,\)",
        ),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(parts: list[dict[str, Any]], line: str) -> None:
    with pytest.raises(BadInputError, match=line):
        read(*parts)


@pytest.mark.parametrize(
    ("entries", "line"),
    [
        ([[-1, 1]], "has a number of entries that none is"),
        ([[0, 1], [0, 1]], "along every dimension"),
        ([[0, 2**50]], "has a number of entries that none is"),
        ([[0, 2**40]], "elements"),
        ([[0, 1]], "has 7 elements, its operand 6"),
    ],
)
def test_padding_that_does_not_fit_is_refused(entries: list[list[int]], line: str) -> None:
    with pytest.raises(BadInputError, match=line):
        read(SOURCE, VIEW, {"kind": "pad", "of": [1], "entries": entries}, padded=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slices")
    model = traced(networks.Residual(), 1, 3, 16, 16)
    plan = random_plan(model, [[1.0, 2.0]], np.random.default_rng(7))
    save_slices(slice_model(model, plan, select=True), folder)
    return folder


def test_what_a_node_does_not_hold_in_that_size_is_refused(saved: Path, tmp_path: Path) -> None:
    """Sizes of sources are followed through all layers before anything runs."""
    node = json.loads((saved / "node0.json").read_text())
    refused = []
    for number, step in enumerate(node["steps"]):
        for change in ("shape", "sources", "sends"):
            changed = json.loads(json.dumps(node))
            target = changed["steps"][number]
            if change == "shape":
                target["shape"] = [*target["shape"], 2]
            elif change == "sources" and target["operands"]:
                target["operands"][0]["sources"][0] = "nothing"
            elif change == "sends" and target["sends"]:
                target["sends"].pop()
            else:
                continue
            for path in saved.iterdir():
                (tmp_path / path.name).write_bytes(path.read_bytes())
            (tmp_path / "node0.json").write_text(json.dumps(changed))
            if step["layer"] == "head" and change == "shape":
                continue  # its result is the model's, which no step reads
            with pytest.raises(BadInputError, match=r"has \d+ elements|hold|has sent") as caught:
                load_slices(tmp_path)
            assert "\n" not in str(caught.value)
            refused.append(change)
    assert {refused.count(change) > 3 for change in ("shape", "sources")} == {True}
    assert "sends" in refused
