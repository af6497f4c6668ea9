"""What hypothesis draws from: small models with skips and branches, small clusters."""

from __future__ import annotations

from hypothesis import strategies as st

from planner.domain.cluster import Cluster, Link, Node, PairLink
from planner.domain.model_profile import ModelProfile
from tests.planner.builders import Net

SPARSITIES = st.integers(0, 1000).map(lambda level: level / 1000)
BANDWIDTHS = st.integers(3, 9).map(lambda power: 10.0**power)
# of a node or link against the cluster's bandwidth: the models have about as many bytes as MACs
FACTORS = st.sampled_from([0.01, 0.3, 1.0, 2.5, 100.0]) | st.floats(0.01, 100.0)
DELAYS = st.sampled_from([0.0, 1.0, 1000.0])  # in bytes that the link carries meanwhile


@st.composite
def chains(draw: st.DrawFn, most: int = 5, multiple_of: int = 1) -> ModelProfile:
    """Convolutions one behind the other; all widths are multiples of ``multiple_of``."""
    net = Net(3, 16)
    last = "image"
    for _ in range(draw(st.integers(1, most))):
        out = multiple_of * draw(st.integers(1, 12))
        last = net.conv(last, out, kernel=draw(st.sampled_from([1, 3])), bias=draw(st.booleans()))
    return net.profile()


@st.composite
def networks(draw: st.DrawFn, most: int = 8) -> ModelProfile:
    """Directed acyclic graphs over every kind of layer; each tensor may be read again."""
    net = Net(draw(st.integers(1, 4)), 4)
    names = [net.conv("image", draw(st.integers(1, 12)))]
    for _ in range(draw(st.integers(1, most))):
        kind = draw(
            st.sampled_from(
                "conv conv relu depthwise grouped add concat slice norm one_node".split()
            )
        )
        source = draw(st.sampled_from(names))
        features, _ = net.size(source)
        alike = [name for name in names if net.size(name) == net.size(source)]
        if kind == "conv":
            names.append(net.conv(source, draw(st.integers(1, 12)), bias=draw(st.booleans())))
        elif kind == "relu":
            names.append(net.local(source))
        elif kind == "depthwise":
            names.append(net.depthwise(source, multiplier=draw(st.integers(1, 2))))
        elif kind == "grouped":
            groups = draw(st.sampled_from([g for g in (1, 2, 3, 4) if features % g == 0]))
            names.append(net.grouped(source, groups * draw(st.integers(1, 3)), groups))
        elif kind == "add":
            names.append(net.add(source, draw(st.sampled_from(alike))))
        elif kind == "concat":
            same = [name for name in names if net.size(name)[1] == net.size(source)[1]]
            names.append(net.concat(source, draw(st.sampled_from(same))))
        elif kind == "slice":
            start = draw(st.integers(0, features - 1))
            names.append(net.slice(source, start, draw(st.integers(start + 1, features))))
        elif kind == "norm":
            names.append(net.layer_norm(source))
        else:
            out = draw(st.integers(1, 6))
            names.append(net.one_node(source, out=out, macs=out * draw(st.integers(0, 50))))
    return net.profile(*{names[-1], draw(st.sampled_from(names))})


@st.composite
def clusters(draw: st.DrawFn, least: int = 1, most: int = 4, equal: bool | None = None) -> Cluster:
    """Clusters of every medium and casting; ``equal``: all nodes and links alike, or not."""
    count = draw(st.integers(least, most))
    alike = draw(st.booleans()) if equal is None else equal
    bandwidth = draw(BANDWIDTHS)
    overhead = draw(DELAYS)
    speed = draw(FACTORS)

    def link() -> dict[str, float]:
        own = bandwidth * draw(FACTORS)
        return {"bandwidth_bytes_per_s": own, "latency_s": draw(DELAYS) / bandwidth}

    nodes = tuple(
        Node(
            name=f"n{index}",
            macs_per_s=bandwidth * (speed if alike else draw(FACTORS)),
            layer_overhead_s=overhead / bandwidth,
            memory_bytes_per_s=None if alike or draw(st.booleans()) else bandwidth * draw(FACTORS),
        )
        for index in range(count)
    )
    pairs = [(a, b) for b in range(count) for a in range(b)]
    unlike = () if alike or not pairs else draw(st.sets(st.sampled_from(pairs)))
    return Cluster(
        name="drawn",
        nodes=nodes,
        link=Link(bandwidth_bytes_per_s=bandwidth, latency_s=draw(DELAYS) / bandwidth),
        pair_links=tuple(PairLink(between=(f"n{a}", f"n{b}"), **link()) for a, b in sorted(unlike)),
        medium=draw(st.sampled_from(["full_duplex", "half_duplex", "shared"])),
        casting=draw(st.sampled_from(["unicast", "broadcast"])),
        source_node=draw(st.sampled_from([node.name for node in nodes])),
    )
