from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.accuracy import AccuracyCurve
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.plan import Plan
from planner.errors import BadInputError
from profiles import files
from profiles.files import (
    check_writable,
    document_text,
    field_path,
    one_line,
    read_document,
    write_atomically,
)

NODE = '{"name": "a", "macs_per_s": 1e9}'
LINK = '{"bandwidth_bytes_per_s": 1e6}'


def cluster(nodes: str = NODE, link: str = LINK, more: str = "") -> str:
    return f'{{"name": "c", "nodes": [{nodes}], "link": {link}{more}}}'


def refusal(content: str | bytes, model_type: type = Cluster) -> str:
    data = content.encode() if isinstance(content, str) else content
    with pytest.raises(BadInputError) as caught:
        read_document(data, model_type, what="cluster c.json")
    message = str(caught.value)
    assert message.startswith("cluster c.json: ")
    assert message.isprintable(), "one line, nothing that could move a terminal's cursor"
    assert len(message) < 400
    return message.removeprefix("cluster c.json: ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "line 1, column 1 is not JSON: Expecting value"),
        ("{", "line 1, column 2 is not JSON: "),
        ('{"a": 1,\n "b" 2}', "line 2, column 6 is not JSON: Expecting ':' delimiter"),
        (b'{"name": "\xff"}', "byte 10 is not UTF-8; a JSON file in UTF-8 is needed"),
        (b"PK\x03\x04\x00", "line 1, column 1 is not JSON"),
        ("[]", "found []; "),
        ('"text"', "found 'text'; "),
        ("null", "found null; "),
        ('{"name": "a", "name": "b"}', "the key 'name' is there twice in one object"),
        (
            cluster('{"name": "a", "macs_per_s": NaN}'),
            "nodes[0].macs_per_s: found NaN; numbers must be finite",
        ),
        (
            cluster('{"name": "a", "macs_per_s": 1e999}'),
            "nodes[0].macs_per_s: found 1e999; numbers must be finite",
        ),
        (
            cluster(more=', "x": [[1], {"y": -Infinity}]'),
            "x[1].y: found -Infinity; numbers must be finite",
        ),
        ("Infinity", "the document: found Infinity; numbers must be finite"),
        (cluster('{"name": "a", "macs_per_s": 0}'), "nodes[0].macs_per_s: found 0; input should"),
        (
            cluster('{"name": "a", "macs_per_s": "1e9"}'),
            "nodes[0].macs_per_s: found '1e9'; input should be a valid number",
        ),
        (
            cluster('{"name": "a", "macs_per_s": true}'),
            "nodes[0].macs_per_s: found true; input should be a valid number",
        ),
        (
            cluster('{"name": "a", "macs_per_s": 1, "memory_bytes": 1.5}'),
            "nodes[0].memory_bytes: found 1.5; input should be a valid integer",
        ),
        (cluster('{"name": "a"}'), "nodes[0].macs_per_s: is missing"),
        (
            cluster('{"name": "a", "macs_per_s": 1, "memory": 5}'),
            "nodes[0].memory: no such field; did you mean 'memory_bytes'? there are name, ",
        ),
        (
            cluster(link='{"bandwidth_bytes_per_s": 1, "latency": 0}'),
            "link.latency: no such field; did you mean 'latency_s'? "
            "there are bandwidth_bytes_per_s, latency_s",
        ),
        (cluster(more=', "colour": 1'), "colour: no such field; there are schema_version, name, "),
        (
            cluster(more=', "medium": "simplex"'),
            "medium: found 'simplex'; input should be 'full_duplex', 'half_duplex' or 'shared'",
        ),
        (cluster(nodes=""), "nodes: found []; "),
        (cluster(nodes=f"{NODE}, {NODE}"), "nodes: two nodes have the same name"),
        (cluster(more=', "source_node": "b"'), "source_node: 'b' is no node; nodes are ['a']"),
        (
            cluster(more=', "schema_version": 2'),
            "schema_version: found 2; this planner reads up to 1, the document needs a newer one",
        ),
        (
            '{"schema_version": 2, "name": "a plan"}',
            "nodes: is missing, and schema_version is 2; this planner reads up to 1",
        ),
        (cluster(more=', "schema_version": 0'), "schema_version: found 0; input should be 1"),
        (cluster(more=', "schema_version": "2"'), "schema_version: found '2'; input should be 1"),
        (
            '{"name": 1, "nodes": 2, "link": 3}',
            "name: found 1; input should be a valid string (and",
        ),
        (cluster('{"name": "\\u001b[2J\\n", "macs_per_s": 0}'), "nodes[0].macs_per_s: found 0"),
        (cluster(more=', "\\u001b[2J": 1'), "\\x1b[2J: no such field"),
        (cluster(more=f', "description": {"9" * 200}'), f"description: found {'9' * 60}…; "),
        (cluster(more=', "description": "\\ud800"'), "holds broken text or is nested too deeply: "),
        ("9" * 5000, "Exceeds the limit"),
        ("[" * 100_000, "is nested too deeply"),
        ("[" * 400 + "]" * 400, "holds broken text or is nested too deeply: recursion"),
        (cluster(more=', "x": ' + '{"y":' * 90_000), "is nested too deeply"),
    ],
)
def test_bad_content_is_one_line(content: str | bytes, expected: str) -> None:
    assert refusal(content).startswith(expected)


@pytest.mark.parametrize("model_type", [Cluster, AccuracyCurve, Plan])
@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode())
    | st.binary()
)
def test_any_other_content_is_refused_in_one_line(model_type: type, content: bytes) -> None:
    refusal(content, model_type)


def test_the_number_of_further_problems_is_told() -> None:
    message = refusal('{"nodes": [], "link": {}}')
    assert message.startswith("name: is missing (and 2 more)")


def test_too_large_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_DOCUMENT_BYTES", 2**20)
    content = b'"' + b"x" * 2**20 + b'"'
    path = tmp_path / "big.json"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(BadInputError, match="is larger than 1 MiB"):
            read_document(source, Cluster, what="cluster")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.json", "no such file"),
        ("folder", "is a folder or a device"),
        ("pipe", "is a folder or a device"),
        ("file/x.json", "cannot be read: Not a directory"),
        ("n" * 300, "cannot be read: File name too long"),
        ("nul\0.json", "cannot be read: embedded null byte"),
        ("line\nbreak.json", r"line\nbreak.json: no such file"),
    ],
)
def test_unreadable_paths(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInputError) as caught:
        read_document(tmp_path / name, Cluster, what="cluster")
    message = str(caught.value)
    assert message.startswith("cluster ")
    assert expected in message
    assert message.isprintable()


def test_what_people_write_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    node = '{"name": "a", "macs_per_s": 2, "memory_bytes": 8e9}'
    path.write_text("\ufeff" + cluster(node, more=', "medium": "shared"'), encoding="utf-8")
    read = read_document(str(path), Cluster, what="cluster")
    assert read.nodes == (Node(name="a", macs_per_s=2.0, memory_bytes=8_000_000_000),)
    assert read.link == Link(bandwidth_bytes_per_s=1e6)
    assert read == read_document(path.read_bytes(), Cluster, what="upload")


def test_written_documents_are_read_back_and_have_a_line_per_item() -> None:
    made = Cluster(
        name="Zwei Knoten Ω",
        nodes=(Node(name="a", macs_per_s=1e9), Node(name="b", macs_per_s=0.1)),
        link=Link(bandwidth_bytes_per_s=1e6),
    )
    text = document_text(made)
    assert read_document(text.encode(), Cluster, what="cluster") == made
    assert json.loads(text) == made.model_dump(mode="json")
    assert sum('"macs_per_s"' in line for line in text.splitlines()) == 2
    assert "Zwei Knoten Ω" in text


def test_what_a_terminal_would_obey_is_escaped_in_documents() -> None:
    name = "é💥 \u202e\u200f\x7f\x9b\u2028"
    node = Node(name="a", macs_per_s=1e9)
    text = document_text(Cluster(name=name, nodes=(node,), link=Link(bandwidth_bytes_per_s=1e6)))
    assert "é💥" in text and text.replace("\n", "").isprintable()
    assert read_document(text.encode(), Cluster, what="it").name == name


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_atomically(path, "a much longer first version")
    write_atomically(path, "zwei Ω")
    assert path.read_text(encoding="utf-8") == "zwei Ω"
    write_atomically(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path]


def test_write_follows_links_and_the_umask(tmp_path: Path) -> None:
    real, link, plain = (tmp_path / name for name in ("real", "link", "plain"))
    real.write_text("old")
    link.symlink_to(real)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    plain.touch()
    assert real.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing/out.json", "cannot be written: No such file or directory"),
        ("file/out.json", "cannot be written: Not a directory"),
        ("folder", "is a folder or a device"),
        ("pipe", "is a folder or a device"),
        ("n" * 300, "cannot be written: File name too long"),
        ("nul\0", "cannot be written: embedded null byte"),
    ],
)
def test_write_to_no_place_for_a_file(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    for refused in (check_writable, lambda path: write_atomically(path, "text")):
        with pytest.raises(BadInputError) as caught:
            refused(tmp_path / name)
        assert expected in str(caught.value)
        assert str(caught.value).isprintable()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_place_is_tried_without_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    check_writable(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    check_writable(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_field_path_and_one_line() -> None:
    assert field_path(("nodes", 0, "links", 2, 1, "name")) == "nodes[0].links[2][1].name"
    assert field_path(()) == ""
    assert one_line("a\tb\x1b\u202e\ud800Ω") == r"a\tb\x1b\u202e\ud800Ω"
