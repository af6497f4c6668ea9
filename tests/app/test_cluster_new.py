from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner.domain.cluster import Cluster
from planner.domain.plan import Plan
from profiles.devices import cluster_of, device_names, link_names
from profiles.files import read_document
from tests.app.command import one_line, planner

DESK = ("cluster", "new", "--node", "raspberry-pi-5:4", "--link", "gigabit-ethernet")


def test_a_new_cluster_is_planned_on(tmp_path: Path) -> None:
    file = tmp_path / "desk.json"
    done = planner(*DESK, "-o", str(file))
    assert (done.code, done.out) == (0, "")
    assert str(file.name) in done.err.replace("\n", "")
    expected = cluster_of([("raspberry-pi-5", 4)], "gigabit-ethernet")
    assert read_document(file, Cluster, what="cluster") == expected
    words = ("--cluster", str(file), "--max-nodes", "2", "--format", "json")
    planned = planner("plan", "mobilenetv2-224", *words)
    assert planned.code == 0, planned.err
    plan = Plan.model_validate_json(planned.out)
    assert {node for stage in plan.stages for node in stage.nodes} <= {
        node.name for node in expected.nodes
    }


def test_without_a_file_the_cluster_is_alone_on_stdout() -> None:
    words = ("--node", "mac-mini-m4:2", "--node", "rtx-3090:1", "--name", "attic")
    done = planner("cluster", "new", *words, "--link", "10-gigabit-ethernet")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert (document["schema_version"], document["name"]) == (1, "attic")
    assert [node["name"] for node in document["nodes"]] == [
        "mac-mini-m4-1",
        "mac-mini-m4-2",
        "rtx-3090-1",
    ]


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "desk.json"
    file.write_text("good", encoding="utf-8")
    assert planner(*DESK[:-1], "nosuch", "-o", str(file)).code == 2
    assert file.read_text(encoding="utf-8") == "good"
    done = planner(*DESK, "-o", str(tmp_path))
    assert done.code == 2
    assert "is a folder" in one_line(done)
    assert [path.name for path in tmp_path.iterdir()] == ["desk.json"]


@pytest.mark.parametrize(
    ("words", "needles"),
    [
        ("--node raspberrypi5:4 --link wi-fi-5", ["did you mean 'raspberry-pi-5'", "jetson-nano"]),
        ("--node raspberry-pi-5:4 --link wifi", ["link 'wifi': unknown", "gigabit-ethernet"]),
        ("--node raspberry-pi-5:0 --link wi-fi-5", ["raspberry-pi-5: found 0 nodes"]),
        ("--node raspberry-pi-5:-1 --link wi-fi-5", ["raspberry-pi-5:-1", "KIND:COUNT"]),
        ("--node raspberry-pi-5:two --link wi-fi-5", ["raspberry-pi-5:two", "KIND:COUNT"]),
        ("--node raspberry-pi-5:1.5 --link wi-fi-5", ["raspberry-pi-5:1.5", "KIND:COUNT"]),
        ("--node raspberry-pi-5:1_0 --link wi-fi-5", ["raspberry-pi-5:1_0", "KIND:COUNT"]),
        ("--node raspberry-pi-5:٤ --link wi-fi-5", ["KIND:COUNT"]),
        ("--node raspberry-pi-5: --link wi-fi-5", ["KIND:COUNT"]),
        ("--node raspberry-pi-5 --link wi-fi-5", ["KIND:COUNT"]),
        ("--node :4 --link wi-fi-5", ["KIND:COUNT"]),
        (f"--node raspberry-pi-5:{'9' * 5000} --link wi-fi-5", ["KIND:COUNT"]),
        ("--node raspberry-pi-5:257 --link wi-fi-5", ["found 257 nodes", "1 to 256"]),
        ("--node jetson-nano:256 --node jetson-tx2:1 --link wi-fi-5", ["found 257", "1 to 256"]),
        ("--node raspberry-pi-5:4", ["--link"]),
        ("--link wi-fi-5", ["--node"]),
        (
            "--node rtx-4090:1 --link wi-fi-5 --host-memory 64GB",
            ["host.memory_bytes_per_s: is missing"],
        ),
        ("--node rtx-4090:1 --link wi-fi-5 --host-memory much", ["--host-memory: found 'much'"]),
        ("--node raspberry-pi-5:4 --link wi-fi-5 --name=", ["name: found ''"]),
        ("--node raspberry-pi-5:4 --link wi-fi-5 -o gone/desk.json", ["gone/desk.json"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: str, needles: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = planner("cluster", "new", *words.split())
    assert done.code == 2, done.err
    message = one_line(done)
    for needle in needles:
        assert needle in message
    assert list(tmp_path.iterdir()) == []


def test_every_node_sits_in_a_host_of_its_own() -> None:
    words = "--host-memory 64GB --host-bandwidth 50GB/s --host-compute 1TMAC/s --host-link 25GB/s"
    done = planner("cluster", "new", "--node", "rtx-4090:2", "--link", "wi-fi-6", *words.split())
    assert done.code == 0, done.err
    found = Cluster.model_validate_json(done.out)
    for node in found.nodes:
        assert node.host is not None
        assert (node.host.memory_bytes, node.host.memory_bytes_per_s) == (64 * 10**9, 5e10)
        assert (node.host.macs_per_s, node.host.link_bytes_per_s) == (1e12, 2.5e10)
    assert {f.source for f in found.figures if f.key.startswith("host.")} == {"set by the user"}


def test_help_shows_the_options() -> None:
    done = planner("cluster", "new", "--help")
    assert done.code == 0
    for word in ("--node", "KIND:COUNT", "--link", "--name", "--output"):
        assert word in done.out


@pytest.mark.parametrize(("kind", "names"), [("devices", device_names()), ("links", link_names())])
def test_the_catalogue_lists_what_there_is(kind: str, names: tuple[str, ...]) -> None:
    table = planner("catalog", kind)
    assert (table.code, table.err) == (0, "")
    rows = planner("catalog", kind, "--format", "csv").out.splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == list(names)
    for document in json.loads(planner("catalog", kind, "--format", "json").out)[kind]:
        assert document["name"] in table.out
        assert all(figure["source"] for figure in document["figures"])
