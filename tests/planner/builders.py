"""Small models and clusters, built layer by layer, for the tests of the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from planner.accuracy.model import AccuracyModel
from planner.case import Case
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.layer_profile import LayerProfile, TensorSpec
from planner.domain.model_profile import ModelProfile, Provenance
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.strategies.optimise import optimise

ELEMENT_BYTES = 4


class Net:
    """A model that grows layer by layer; every method returns the new tensor's name."""

    def __init__(self, features: int = 3, pixels: int = 16) -> None:
        self._inputs = [_spec("image", features, pixels)]
        self._size = {"image": (features, pixels)}
        self._layers: list[LayerProfile] = []

    def input(self, name: str, features: int, pixels: int) -> str:
        """A further model input."""
        self._inputs.append(_spec(name, features, pixels))
        self._size[name] = (features, pixels)
        return name

    def conv(
        self,
        source: str,
        out: int,
        *,
        kernel: int = 1,
        pixels: int | None = None,
        bias: bool = False,
        granularity: int = 1,
    ) -> str:
        """A convolution that mixes all features; ``pixels``: elements of an output map."""
        features, size = self._size[source]
        after = pixels or size
        weights = features * out * kernel**2
        return self._add(
            "conv",
            "mixing",
            (source,),
            out,
            after,
            macs=weights * after,
            params=weights + out * bias,
            weight_params=weights,
            granularity=granularity,
        )

    def linear(self, source: str, out: int, *, bias: bool = True) -> str:
        """A classifier on a tensor of one element per feature."""
        return self.conv(source, out, bias=bias)

    def depthwise(self, source: str, *, kernel: int = 3, multiplier: int = 1) -> str:
        features, size = self._size[source]
        weights = features * multiplier * kernel**2
        return self._add(
            "conv",
            "local",
            (source,),
            features * multiplier,
            size,
            macs=weights * size,
            params=weights,
            weight_params=weights,
            groups=features,
        )

    def grouped(self, source: str, out: int, groups: int) -> str:
        features, size = self._size[source]
        weights = features * out // groups
        return self._add(
            "conv",
            "grouped",
            (source,),
            out,
            size,
            macs=weights * size,
            params=weights,
            weight_params=weights,
            groups=groups,
        )

    def local(self, *sources: str, op: str = "relu", pixels: int | None = None) -> str:
        """An element-wise operation or a pooling: no MACs of its own."""
        features, size = max(self._size[source] for source in sources)
        return self._add(op, "local", sources, features, pixels or size)

    def add(self, first: str, second: str) -> str:
        return self.local(first, second, op="add")

    def flatten(self, source: str) -> str:
        """Every element becomes a feature."""
        features, size = self._size[source]
        return self._add("reshape", "local", (source,), features * size, 1)

    def layer_norm(self, source: str) -> str:
        """A norm over features: a mean and a variance per token are told to the others."""
        features, tokens = self._size[source]
        return self._add(
            "layer_norm",
            "local",
            (source,),
            features,
            tokens,
            params=2 * features,
            statistics_bytes=2 * tokens * ELEMENT_BYTES,
        )

    def concat(self, *sources: str) -> str:
        features = sum(self._size[source][0] for source in sources)
        return self._add("concat", "concat", sources, features, self._size[sources[0]][1])

    def slice(self, source: str, start: int, stop: int) -> str:
        return self._add(
            "slice", "slice", (source,), stop - start, self._size[source][1], feature_start=start
        )

    def one_node(self, *sources: str, out: int, macs: int = 0) -> str:
        return self._add("lstm", "one-node", sources, out, self._size[sources[0]][1], macs=macs)

    def size(self, name: str) -> tuple[int, int]:
        """Features and elements per feature of a tensor."""
        return self._size[name]

    def profile(self, *outputs: str, name: str = "net") -> ModelProfile:
        """The model so far; its output is the last layer unless others are named."""
        return ModelProfile(
            name=name,
            inputs=tuple(self._inputs),
            outputs=outputs or (self._layers[-1].name,),
            layers=tuple(self._layers),
            provenance=Provenance(front_end="test", source="built by hand"),
        )

    def _add(
        self, op: str, flow: str, sources: Sequence[str], out: int, after: int, **fields: Any
    ) -> str:
        features, size = self._size[sources[0]]
        name = f"{op}_{len(self._layers)}"
        params = fields.pop("params", 0)
        values: dict[str, Any] = {
            "name": name,
            "op": op,
            "inputs": tuple(sources),
            "feature_flow": flow,
            "macs": 0,
            "params": params,
            "param_bytes": params * ELEMENT_BYTES,
            "in_features": features,
            "out_features": out,
            "elements_per_feature": size,
            "output_elements_per_feature": after,
            "input_bytes": features * size * ELEMENT_BYTES,
            "output_bytes": out * after * ELEMENT_BYTES,
        }
        self._layers.append(LayerProfile(**values | fields))
        self._size[name] = (out, after)
        return name


def _spec(name: str, features: int, pixels: int) -> TensorSpec:
    size = features * pixels * ELEMENT_BYTES
    return TensorSpec(name=name, shape=(1, features, pixels), bytes=size, features=features)


def chain(*features: int, image: int = 3, pixels: int = 4) -> ModelProfile:
    """Convolutions one behind the other, with the given output features."""
    net = Net(image, pixels)
    last = "image"
    for out in features:
        last = net.conv(last, out)
    return net.profile()


def cluster(
    nodes: int | Sequence[float] = 2,
    macs_per_s: float = 1e6,
    bandwidth_bytes_per_s: float = 1e6,
    latency_s: float = 0.0,
    memory_bytes: int | Sequence[int | None] | None = None,
    **fields: Any,
) -> Cluster:
    """Nodes a, b, c … on one link; a sequence gives each its own speed."""
    speeds = [macs_per_s] * nodes if isinstance(nodes, int) else list(nodes)
    memory = memory_bytes if isinstance(memory_bytes, Sequence) else [memory_bytes] * len(speeds)
    return Cluster(
        name="cluster",
        nodes=tuple(
            Node(name=chr(ord("a") + index), macs_per_s=speed, memory_bytes=most)
            for index, (speed, most) in enumerate(zip(speeds, memory, strict=True))
        ),
        link=Link(bandwidth_bytes_per_s=bandwidth_bytes_per_s, latency_s=latency_s),
        **fields,
    )


def with_nodes(group: Cluster, **fields: Any) -> Cluster:
    """The cluster with the same fields changed in every node."""
    nodes = tuple(node.model_copy(update=fields) for node in group.nodes)
    return group.model_copy(update={"nodes": nodes})


def linear_loss(profile: ModelProfile, points: float = 1.0) -> AccuracyModel:
    """An accuracy model that takes off ``points · S`` per layer that mixes features."""
    mixing = np.array([layer.feature_flow == "mixing" for layer in profile.layers])
    return AccuracyModel(
        name="linear",
        knots=np.array([0.0, 1.0]),
        loss_points=mixing[:, None] * np.array([0.0, points]),
        dense_value=90.0,
        metric="%",
        nodes=2,
    )


def best(case: Case, drop: float | None = None, **fields: Any) -> Plan:
    """The best plan on any number of the case's nodes; ``drop``: points that it may lose."""
    nodes = len(case.cluster.nodes)
    return optimise(case, Request(nodes, limits=Limits(max_accuracy_drop=drop), **fields))
