"""ResNet-50 layer by layer on the head-mounted pair: the table and its picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from build_results import case_on
from documents import ms, table
from layer_picture import LayerTime, picture

from planner.case import sparsifiable_layers
from planner.structure import block_groups

PICTURE = "images/disco-layers.svg"  # beside the page


@dataclass(frozen=True)
class Layer:
    """A row of the per-layer table."""

    number: int
    time: LayerTime
    in_features: int
    out_features: int
    macs: int
    sent_bytes: int

    @property
    def ratio(self) -> float:
        """Communication over computation."""
        return self.time.comm_s / self.time.compute_s


def head_mounted_layers() -> list[Layer]:
    """The layers of ResNet-50 that have MACs, dense on the head-mounted pair."""
    case = case_on("head-mounted")
    profile, costs = case.profile, case.table(case.names(2), (0.0,))
    groups = block_groups(profile, sparsifiable_layers(profile))
    layers: list[Layer] = []
    for row, layer in enumerate(profile.layers):
        if layer.macs:
            part = next(number for number, group in enumerate(groups, 1) if row in group)
            name = layer.name.removeprefix("resnet.").removesuffix(".convolution")
            times = float(costs.comm_s[row, 0]), float(costs.compute_s[row, 0])
            time = LayerTime(name, f"block group {part}", "shortcut" in name, *times)
            sent = int(costs.wire_bytes[row, 0]) // 2
            counts = layer.in_features, layer.out_features, layer.macs, sent
            layers.append(Layer(len(layers) + 1, time, *counts))
    return layers


def per_layer(layers: list[Layer]) -> str:
    """The picture and the table of all layers."""
    exchanging = [layer for layer in layers if layer.time.comm_s > 0]
    ratios = np.array([layer.ratio for layer in exchanging])
    comm_s = sum(layer.time.comm_s for layer in layers)
    compute_s = sum(layer.time.compute_s for layer in layers)
    skip_links = sum(layer.time.skip_link for layer in layers)
    least, most = (exchanging[at] for at in (int(ratios.argmin()), int(ratios.argmax())))
    rows = [
        (
            layer.number,
            f"`{layer.time.name}`",
            layer.in_features,
            layer.out_features,
            f"{layer.macs / 1e6:.1f}",
            f"{layer.sent_bytes / 1e3:,.1f}",
            f"{layer.time.comm_s * 1e3:.3f}",
            f"{layer.time.compute_s * 1e3:.3f}",
            f"{layer.ratio:.1f}" if layer.sent_bytes else "–",
        )
        for layer in layers
    ]
    header = (
        "# | layer | input features | output features | MMAC | each node sends (kB) | "
        "communication (ms) | computation (ms) | ratio"
    )
    return "\n\n".join(
        [
            "## ResNet-50 layer by layer, on the head-mounted pair",
            "Two nodes of 125 GOP/s and 37.5 MB/s (published), every layer dense, no overlap.",
            f"![Communication and computation of each of {len(layers)} layers]({PICTURE})",
            f"*Derived, not measured.* The {len(layers)} layers, {skip_links} of them "
            "convolutions on skip links, are as many as the paper draws. The first reads the "
            "image, which both nodes have, and communicates nothing. In "
            f"**{np.count_nonzero(ratios >= 10)}** of the other {len(ratios)} communication takes "
            "at least 10 times as long as computation, in "
            f"**{np.count_nonzero(ratios >= 100)}** at least 100 times; the ratio goes from "
            f"{least.ratio:.1f} (layer {least.number}) to {most.ratio:.0f} (layer {most.number}), "
            f"and is {comm_s / compute_s:.0f} for the whole network ({ms(comm_s)} ms to "
            f"{ms(compute_s)} ms). The paper speaks of one or two orders of magnitude; it "
            "prints no number per layer that these rows could be held against.",
            table(header, rows),
            "The names are those of the catalogue's profile; `shortcut` is a skip link. "
            "Computation is half of the MACs over 125 GMAC/s, communication what a node sends over "
            "37.5 MB/s. The other convention that gives the paper's speed-up, half-duplex links "
            "and two operations per MAC, doubles both times and leaves every ratio as it is.",
        ]
    )


def layer_picture(layers: list[Layer]) -> str:
    """The picture's text."""
    caption = [
        "Derived by the cost model from layer shapes, not measured: 125 GMAC/s and 37.5 MB/s per "
        "node, full duplex, float32, no overlap.",
        "Layer 1 reads the image, which both nodes have, and communicates nothing.",
    ]
    title = "ResNet-50, dense, on the head-mounted pair: time of each layer"
    return picture([layer.time for layer in layers], title, caption)
