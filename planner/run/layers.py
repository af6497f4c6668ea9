"""From the times of segments to those of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planner.domain.cluster import Cluster
from planner.run.measured import LayerMeasured, SegmentMeasured
from planner.runtime.running.times import LayerTime

_Macs = Mapping[str, Mapping[str, int]]


def measured_layers(
    segments: Sequence[tuple[SegmentMeasured, Sequence[str]]],
    times: Mapping[str, LayerTime],
    macs: _Macs,
    cluster: Cluster,
) -> list[LayerMeasured]:
    """What nodes of each kind took for each layer with MACs.

    A segment is timed as a whole. Its time is shared out between its layers as the cost model
    predicts theirs on the node: the slowest node's, less as the node executes fewer MACs. What
    falls to layers without MACs stays out: those are costed by their bytes.

    Parameters
    ----------
    segments : sequence of (SegmentMeasured, sequence of str)
        With the layers of each, in order.
    times : mapping of str to LayerTime
        By layer.
    macs : mapping
        By layer and node, executed.
    cluster : Cluster
        Whose nodes they are.
    """
    kinds = {node.name: node.device_type for node in cluster.nodes}
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for segment, layers in segments:
        node = segment.node
        predicted = {name: _on_node_s(name, node, times, macs) for name in dict.fromkeys(layers)}
        whole = sum(predicted.values())
        for name, seconds in predicted.items():
            done = macs.get(name, {}).get(node, 0)
            if not done or not whole:
                continue
            before_s, before = found.get((name, kinds[node]), (0.0, 0))
            part_s = segment.measured.median_s * seconds / whole
            found[name, kinds[node]] = (before_s + part_s, before + done)
    return [
        LayerMeasured(layer=layer, device_type=kind, seconds=seconds, macs=done)
        for (layer, kind), (seconds, done) in found.items()
    ]


def _on_node_s(name: str, node: str, times: Mapping[str, LayerTime], macs: _Macs) -> float:
    seconds = times[name].compute_s if name in times else 0.0
    executed = macs.get(name, {})
    return seconds * executed.get(node, 0) / max(executed.values()) if executed else seconds
