from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from annotated_types import MaxLen

from planner.domain.cluster import Cluster
from planner.errors import BadInputError
from planner.units import FLOP_PER_MAC
from profiles.catalog import load_model
from profiles.devices import (
    MOST_NODES,
    DeviceKind,
    LinkKind,
    cluster_of,
    device_names,
    link_names,
    load_device,
    load_link,
)
from profiles.files import document_text, read_document

LIBRARY = Path(__file__).parents[2] / "profiles" / "library"
KINDS = [
    *(pytest.param(load_device, "devices", name, id=name) for name in device_names()),
    *(pytest.param(load_link, "links", name, id=name) for name in link_names()),
]
NCNN = {  # benchmark/README.md of Tencent/ncnn: milliseconds of ResNet-50 and of MobileNetV2
    "raspberry-pi-4": (262.83, 61.88),
    "raspberry-pi-5": (46.21, 10.52),
    "jetson-nano": (93.21, 12.99),
    "jetson-tx2": (30.26, 7.22),
    "jetson-orin-nano": (9.41, 3.83),
    "jetson-agx-orin": (6.08, 2.91),
}


def test_what_ships() -> None:
    assert device_names() == (
        "a100-80gb",
        "h100-sxm",
        "jetson-agx-orin",
        "jetson-nano",
        "jetson-orin-nano",
        "jetson-tx2",
        "mac-mini-m4",
        "mac-studio-m2-ultra",
        "raspberry-pi-4",
        "raspberry-pi-5",
        "rtx-3090",
        "rtx-4090",
        "ryzen-ai-max-395",
    )
    assert link_names() == (
        "10-gigabit-ethernet",
        "2.5-gigabit-ethernet",
        "20-gigabit-ethernet",
        "gigabit-ethernet",
        "nvlink-3",
        "nvlink-4",
        "thunderbolt-4",
        "thunderbolt-5",
        "wi-fi-5",
        "wi-fi-6",
    )


@pytest.mark.parametrize(("load", "folder", "name"), KINDS)
def test_every_figure_has_one_source_and_no_peak_is_called_measured(
    load: object, folder: str, name: str
) -> None:
    assert callable(load)
    kind: DeviceKind | LinkKind = load(name)
    assert kind.name == name and kind.description.endswith(".")
    raw = json.loads((LIBRARY / folder / f"{name}.json").read_text(encoding="utf-8"))
    figures = raw.keys() - {"schema_version", "name", "description", "speed", "figures"}
    assert [figure.key for figure in kind.figures] == [key for key in raw if key in figures]
    for figure in kind.figures:
        assert len(figure.source) > 20
        if "data sheet:" in figure.source or "white paper:" in figure.source:
            assert figure.origin == "derived"
    if kind.is_peak:
        assert kind.figures[0].origin == "derived"


@pytest.mark.parametrize("name", device_names())
def test_a_source_that_names_flops_is_halved(name: str) -> None:
    kind = load_device(name)
    (source,) = (figure.source for figure in kind.figures if figure.key == "macs_per_s")
    named = re.findall(r"([\d.]+) TFLOP/s", source)
    assert bool(named) != (name in NCNN or name == "mac-studio-m2-ultra")
    for flops in named:
        assert kind.macs_per_s == pytest.approx(float(flops) * 1e12 / FLOP_PER_MAC)
        assert "half as many MAC/s" in source


@pytest.mark.parametrize("name", NCNN)
def test_speed_and_time_per_layer_give_both_times_of_ncnn(name: str) -> None:
    kind = load_device(name)
    for model, milliseconds in zip(("resnet50", "mobilenetv2-224"), NCNN[name], strict=True):
        profile = load_model(model)
        layers = sum(layer.macs > 0 for layer in profile.layers)
        seconds = profile.totals.macs / kind.macs_per_s + layers * kind.layer_overhead_s
        assert seconds == pytest.approx(milliseconds * 1e-3, rel=0.01)
        assert all(f"{milliseconds:g}" in kind.figures[index].source for index in (0, 3))


def test_ethernet_carries_what_the_headers_of_tcp_leave() -> None:
    for gigabits in (1, 10, 20):
        prefix = "" if gigabits == 1 else f"{gigabits}-"
        link = load_link(f"{prefix}gigabit-ethernet")
        expected = gigabits * 1e9 / 8 * 1448 / 1538
        assert link.bandwidth_bytes_per_s == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("link", link_names())
@pytest.mark.parametrize("device", device_names())
def test_every_kind_makes_a_cluster(device: str, link: str) -> None:
    cluster = cluster_of([(device, 2)], link)
    text = document_text(cluster).encode()
    assert read_document(text, Cluster, what="cluster") == cluster
    kind, wire = load_device(device), load_link(link)
    assert [node.name for node in cluster.nodes] == [f"{device}-1", f"{device}-2"]
    assert {node.device_type for node in cluster.nodes} == {device}
    for node in cluster.nodes:
        for key in kind.model_fields_set & type(node).model_fields.keys() - {"name"}:
            assert getattr(node, key) == getattr(kind, key)
    assert cluster.link.bandwidth_bytes_per_s == wire.bandwidth_bytes_per_s
    assert (
        cluster.medium == wire.medium == ("shared" if link.startswith("wi-fi") else "full_duplex")
    )
    figures = {figure.key: figure for figure in cluster.figures}
    assert len(figures) == len(cluster.figures)
    decisive = {"nodes", "macs_per_s", "layer_overhead_s", "bandwidth_bytes_per_s", "latency_s"}
    assert decisive | {"medium", "casting"} <= figures.keys()
    for each in (kind, wire):
        for figure in each.figures:
            made = figures[figure.key]
            assert made.model_copy(update={"peak": False}) == figure
            assert made.peak == (each.is_peak and figure.key.endswith("_per_s"))
    assert ("Peaks" in cluster.description) == (kind.is_peak or wire.is_peak)
    assert cluster.source_index == 0


def test_several_kinds_keep_their_order_and_their_figures_apart() -> None:
    devices = [("raspberry-pi-5", 2), ("rtx-3090", 1), ("raspberry-pi-5", 1)]
    cluster = cluster_of(devices, "wi-fi-6", name="attic")
    assert cluster.name == "attic"
    assert [node.name for node in cluster.nodes] == [
        "raspberry-pi-5-1",
        "raspberry-pi-5-2",
        "rtx-3090-1",
        "raspberry-pi-5-3",
    ]
    keys = [figure.key for figure in cluster.figures]
    assert len(set(keys)) == len(keys)
    assert {"raspberry-pi-5.macs_per_s", "rtx-3090.macs_per_s", "latency_s"} <= set(keys)
    assert "macs_per_s" not in keys
    (count,) = (figure.source for figure in cluster.figures if figure.key == "nodes")
    assert "3 raspberry-pi-5, 1 rtx-3090" in count


def test_all_kinds_at_once_and_the_largest_cluster() -> None:
    everything = cluster_of([(name, 1) for name in device_names()], "wi-fi-5")
    assert len(everything.nodes) == len(device_names())
    assert len(cluster_of([("jetson-nano", MOST_NODES)], "wi-fi-5").nodes) == MOST_NODES
    (limit,) = (x for x in Cluster.model_fields["nodes"].metadata if isinstance(x, MaxLen))
    assert limit.max_length == MOST_NODES


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        ({"figures": []}, "one of each of ['macs_per_s'] is needed"),
        ({"memory_bytes": 1}, "one of each of ['macs_per_s', 'memory_bytes'] is needed"),
        ({"macs_per_s": 0}, "macs_per_s"),
        ({"speed": "fast"}, "speed"),
        ({"description": ""}, "description"),
        ({"weight": 1}, "weight: no such field"),
    ],
)
def test_a_kind_with_a_mistake(change: dict[str, object], needle: str) -> None:
    figure = {"key": "macs_per_s", "origin": "derived", "source": "a data sheet"}
    good = {
        "name": "mine",
        "description": "Mine.",
        "speed": "peak",
        "macs_per_s": 1e9,
        "figures": [figure],
    }
    read_document(json.dumps(good).encode(), DeviceKind, what="device")
    with pytest.raises(BadInputError) as caught:
        read_document(json.dumps(good | change).encode(), DeviceKind, what="device")
    assert needle in str(caught.value)


@pytest.mark.parametrize(
    ("devices", "link", "name", "needle"),
    [
        ([("raspberrypi5", 1)], "wi-fi-5", None, "did you mean 'raspberry-pi-5'? there are a100"),
        ([("../links/wi-fi-5", 1)], "wi-fi-5", None, "device '../links/wi-fi-5': unknown"),
        ([("jetson-nano", 1)], "wifi-5", None, "did you mean 'wi-fi-5'? there are 10-gig"),
        ([("jetson-nano", 0)], "wi-fi-5", None, "jetson-nano: found 0 nodes; at least 1"),
        ([("jetson-nano", 257)], "wi-fi-5", None, "found 257 nodes; a cluster has 1 to 256"),
        ([("jetson-nano", 10**9)], "wi-fi-5", None, "a cluster has 1 to 256"),
        ([], "wi-fi-5", None, "found 0 nodes"),
        ([("jetson-nano", 1)], "wi-fi-5", "", "cluster: name: found ''"),
        ([("jetson-nano", 1)], "wi-fi-5", "x" * 257, "cluster: name: found 'xxx"),
    ],
)
def test_what_makes_no_cluster(
    devices: list[tuple[str, int]], link: str, name: str | None, needle: str
) -> None:
    with pytest.raises(BadInputError) as caught:
        cluster_of(devices, link, name=name)
    assert needle in str(caught.value)
