"""Documents and times that tests of measuring share, made from known figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from planner.domain.cluster import Figure, Node
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile, Provenance, TensorSpec
from planner.measure.fit import Work
from planner.measure.links import Raw, link_document
from planner.measure.parts import LinkMeasurement, NodeMeasurement, Sample
from planner.measure.shapes import Shape, standard_shapes

NOW = "2026-01-02T03:04:05+00:00"


def samples_of(
    node: Node,
    noise: float,
    seed: int = 0,
    shapes: Sequence[Shape] | None = None,
) -> list[Sample]:
    """Times of the standard shapes on a node of known figures, with noise."""
    random = np.random.default_rng(seed)
    blank = [
        Sample(
            kind=shape.kind,
            shape=str(shape),
            macs=shape.macs,
            touched_bytes=shape.touched_bytes,
            seconds=1.0,
            low_s=1.0,
            high_s=1.0,
            repeats=9,
        )
        for shape in shapes or standard_shapes()
    ]
    exact = Work.of_samples(blank).seconds(node)
    factors = np.exp(random.normal(size=len(blank)) * noise)
    return [
        sample.model_copy(
            update={
                "seconds": max(second * factor, 1e-7),
                "low_s": max(second * factor * np.exp(-0.67 * noise), 1e-7),
                "high_s": max(second * factor * np.exp(0.67 * noise), 1e-7),
            }
        )
        for sample, second, factor in zip(
            blank, map(float, exact), map(float, factors), strict=True
        )
    ]


def stack(name: str, layers: int, width: int, tokens: int) -> ModelProfile:
    """Equal linear layers in a row."""
    size = 4 * width * tokens
    spec = TensorSpec(name="x", shape=(1, tokens, width), bytes=size, features=width)
    made = tuple(
        LayerProfile(
            name=f"l{index}",
            op="linear",
            inputs=("x" if index == 0 else f"l{index - 1}",),
            feature_flow="mixing",
            macs=width * width * tokens,
            params=width * width,
            weight_params=width * width,
            param_bytes=4 * width * width,
            in_features=width,
            out_features=width,
            elements_per_feature=tokens,
            output_elements_per_feature=tokens,
            input_bytes=size,
            output_bytes=size,
        )
        for index in range(layers)
    )
    return ModelProfile(
        name=name,
        inputs=(spec,),
        outputs=(made[-1].name,),
        layers=made,
        provenance=Provenance(front_end="test", source="test"),
    )


def node_part(name: str = "a", **changes: Any) -> NodeMeasurement:
    """A part of `measure node`."""
    node = Node(name=name, macs_per_s=5e9, memory_bytes_per_s=1e10, layer_overhead_s=1e-5)
    figures = tuple(
        Figure(
            key=key,
            origin="measured",
            source="test",
            low=value / 2,
            high=value * 2,
            measured_at=NOW,
        )
        for key, value in (
            ("macs_per_s", 5e9),
            ("memory_bytes_per_s", 1e10),
            ("layer_overhead_s", 1e-5),
        )
    )
    fields = {
        "part": "node",
        "complete": True,
        "name": name,
        "host": name,
        "engine": "torch 2",
        "threads": 1,
        "measured_at": NOW,
        "node": node,
        "figures": figures,
    }
    return NodeMeasurement.model_validate(fields | changes)


def links_part(
    names: Sequence[str] = ("a", "b"),
    *,
    rate: float = 1e7,
    slow: tuple[int, int] | None = None,
    both: float = 1.0,
    together: float = 1.0,
) -> LinkMeasurement:
    """A part of `measure links`: one pair may be slow, directions and pairs may share."""
    count = len(names)

    def of(a: int, b: int) -> float:
        return rate / 10 if slow in ((a, b), (b, a)) else rate

    if count >= 4:
        transfers = [(2 * pair, 2 * pair + 1) for pair in range(count // 2)]
    else:
        transfers = [(0, 1), (1, 2), (2, 0)] if count == 3 else []
    found = []
    for a in range(count):
        peers = [b for b in range(count) if b != a]
        found.append(
            Raw(
                round_trip_s={b: [2.1e-3, 2.2e-3, 2.3e-3] for b in peers},
                send_s=[4e-5, 5e-5, 6e-5],
                receive_s=[4e-5, 5e-5, 6e-5],
                sent_bytes_per_s={b: [of(a, b) * f for f in (0.99, 1.0, 1.01)] for b in peers},
                both_bytes_per_s={b: [of(a, b) * both] for b in peers},
                together_bytes_per_s={b: [of(a, b) * together] for b in peers},
            )
        )
    return link_document(names, found, transfers, "test", NOW)
