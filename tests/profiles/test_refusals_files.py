"""Every refusal of reading and writing files, with the file that brings it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from planner.domain.cluster import Cluster
from planner.domain.plan import Plan
from profiles import files
from profiles.files import (
    check_folder,
    make_folder,
    read_document,
    read_file,
    read_one_of,
    read_text,
)
from profiles.from_hf.quantised import widths_of
from profiles.from_hf.stored import stored_bytes
from profiles.from_pt2.archive import parse_json, read_graph_json
from profiles.from_pt2.fields import integer, items, mapping, member, text
from tests.messages import message_of
from tests.profiles.test_pt2_hostile import archived

BY_KEY = {"stages": Plan, "nodes": Cluster}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema_version": 1, "layers": []}', "is another document of ours: has none of the key"),
        ("[]", "found []"),
        ("{", "is not JSON"),
    ],
)
def test_documents_of_several_kinds(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    said = message_of(lambda: read_one_of(path, {"stages": Plan}, Cluster, what="plan"))
    assert message in said


def test_a_document_of_no_kind(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"colour": "red"}')
    said = message_of(lambda: read_one_of(path, BY_KEY))
    assert said.endswith(
        "x.json: has none of the keys stages, nodes, one of which every document of ours has"
    )


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,\xff")
    assert message_of(lambda: read_text(path, what="curve")).endswith("x.csv: is no UTF-8 text")


def test_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_DOCUMENT_BYTES", 3)
    said = message_of(lambda: read_document(b"{   }", Cluster, what="cluster"))
    path = tmp_path / "x"
    path.write_bytes(b"1234")
    for found in (said, message_of(lambda: read_file(path, "x"))):
        assert "is larger than" in found


def test_a_document_that_no_parser_goes_down_into() -> None:
    deep = b'{"a":' * 100_000
    assert "nested too deeply" in message_of(lambda: read_document(deep, Cluster, what="cluster"))


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "inside"
    said = "--to: cannot be made or written into: "
    assert message_of(lambda: check_folder(place, "--to")) == f"{said}file is no folder"
    assert message_of(lambda: make_folder(place, "--to")) == f"{said}Not a directory"
    assert "null byte" in message_of(lambda: check_folder(Path("a\0b"), "--to"))


# Weights of a configuration


@pytest.mark.parametrize("header", [b"{}", b'{"__metadata__": {}}'])
def test_weights_without_tensors(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert message_of(lambda: stored_bytes(path)) == "x.safetensors: has no tensors"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"short", "x.safetensors: is no safetensors file"),
        (b"\xff" * 8, "is no safetensors file: a header of"),
        (bytes(8), "is no safetensors file: a header of 0 bytes"),
    ],
)
def test_weights_that_are_none(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    assert message in message_of(lambda: stored_bytes(path))


def test_one_of_several_files_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "model-00001-of-00002.safetensors"
    path.write_bytes(b"")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    assert "is one of several files; give model.safetensors.index.json" in message_of(
        lambda: stored_bytes(path)
    )


def test_methods_that_are_not_known() -> None:
    said = message_of(lambda: widths_of({"quant_method": "of our own"}, 16))
    assert said.startswith("quantization_config.quant_method: found 'of our own'; known are ")
    assert said.endswith("give --weight-bits and leave it out")


# Archives and the JSON in them


def test_an_archive_with_a_name_that_is_no_text() -> None:
    data = archived({}, **{"é": b""}).replace("é".encode(), b"\xff\xfe")
    assert message_of(lambda: read_graph_json(data)) == (
        "is no .pt2 archive: its table of contents is broken"
    )


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: mapping([], "x"), "x is []; an object is needed"),
        (lambda: member({}, "a", "x"), "'a' of x is missing; an object is needed"),
        (lambda: items({"a": 3}, "a", "x"), "'a' of x is 3; a list is needed"),
        (lambda: text(7, "x"), "x has a name that is 7; a text is needed"),
        (lambda: integer(True, "x"), "x is True; a whole number is needed"),
        (lambda: integer(None, "x"), "x is missing; a whole number is needed"),
        (lambda: parse_json(b"[" * 10**6), "holds a graph that is nested too deeply"),
        (lambda: parse_json(b"{"), "holds a graph that is no JSON"),
        (lambda: parse_json(b"[NaN]"), "holds a graph that is no JSON: NaN is no number"),
    ],
)
def test_json(action: Callable[[], object], message: str) -> None:
    assert message in message_of(action)
