"""Documents that were cut off, are of something else, or hold what cannot be are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.errors import BadInputError
from planner.measure.parts import LinkMeasurement, NodeMeasurement
from profiles.files import document_text, read_document
from tests.measure.made import links_part, node_part

Change = Callable[[dict[str, Any]], object]


def read(tmp_path: Path, text: str, kind: type[NodeMeasurement] | type[LinkMeasurement]) -> object:
    path = tmp_path / "part.json"
    path.write_text(text)
    return read_document(path, kind, what="part")


def refused(tmp_path: Path, text: str, kind: Any, match: str) -> None:
    with pytest.raises(BadInputError, match=match) as caught:
        read(tmp_path, text, kind)
    message = str(caught.value)
    assert "\n" not in message
    assert "part.json" in message


def test_parts_are_read_as_they_were_written(tmp_path: Path) -> None:
    for part in (node_part(), links_part(("a", "b", "c"))):
        assert read(tmp_path, document_text(part), type(part)) == part


def test_a_file_that_was_cut_off_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    text = document_text(node_part())
    for end in range(1, len(text) - 2, 37):
        refused(tmp_path, text[:end], NodeMeasurement, "is not JSON")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda x: x["node"].update(macs_per_s=-1.0), r"node.macs_per_s: found -1"),
        (lambda x: x["node"].update(macs_per_s=0), r"node.macs_per_s: found 0"),
        (lambda x: x["node"].update(memory_bytes_per_s=-2), r"node.memory_bytes_per_s: found -2"),
        (lambda x: x["node"].update(macs_per_s_by_kind={"conv": -3}), "conv: found -3"),
        (lambda x: x["node"].update(macs_per_s_by_kind={"sort": 3}), "sort"),
        (lambda x: x["node"].update(name="other"), "node: is called 'other'"),
        (lambda x: x.update(schema_version=2), "needs a newer one"),
        (lambda x: x.update(part="links"), "part: found 'links'"),
        (lambda x: x.pop("complete"), "complete: is missing"),
        (lambda x: x.update(threads=0), "threads: found 0"),
        (lambda x: x.update(pass_factors=[1, -1]), r"pass_factors\[1\]: found -1"),
        (lambda x: x["figures"][0].update(low=6e9), "macs_per_s is 5e.09, which is not within"),
        (lambda x: x["figures"][0].update(key="colour"), "no 'colour'"),
        (lambda x: x["figures"][0].update(key="name"), "no 'name'"),
        (lambda x: x.update(extra=1), "extra: no such field"),
    ],
)
def test_a_node_that_cannot_be_is_refused(tmp_path: Path, change: Change, match: str) -> None:
    document = node_part().model_dump(mode="json")
    change(document)
    refused(tmp_path, json.dumps(document), NodeMeasurement, match)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-Infinity"])
def test_endless_rates_are_refused(tmp_path: Path, number: str) -> None:
    text = document_text(node_part()).replace("5000000000.0", number, 1)
    refused(tmp_path, text, NodeMeasurement, "must be finite")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda x: x["pairs"].pop(), "that of b and c is missing"),
        (lambda x: x["pairs"].append(x["pairs"][0]), "pairs: two are of the same nodes"),
        (lambda x: x["pairs"][0].update(between=["a", "z"]), r"pairs\[0\]: a and z are no two of"),
        (lambda x: x["pairs"][0].update(between=["a", "a"]), r"pairs\[0\]"),
        (lambda x: x["messages"].pop(), "messages: not every node"),
        (lambda x: x.update(names=["a", "a", "b"]), "names: two nodes"),
        (lambda x: x["pairs"][0]["forward_bytes_per_s"].update(low=-1), "low: found -1"),
        (lambda x: x["pairs"][0]["forward_bytes_per_s"].update(value=1), "not within its interval"),
        (lambda x: x["pairs"][0]["latency_s"].update(value=-1), "latency_s.value: found -1"),
        (lambda x: x.update(medium="string"), "medium: found 'string'"),
    ],
)
def test_links_that_cannot_be_are_refused(tmp_path: Path, change: Change, match: str) -> None:
    document = links_part(("a", "b", "c")).model_dump(mode="json")
    change(document)
    refused(tmp_path, json.dumps(document), LinkMeasurement, match)


def test_links_that_were_cut_off_may_miss_a_pair() -> None:
    document = links_part(("a", "b", "c")).model_dump(mode="json")
    document["pairs"].pop()
    document["complete"] = False
    assert len(LinkMeasurement.model_validate_json(json.dumps(document)).pairs) == 2
