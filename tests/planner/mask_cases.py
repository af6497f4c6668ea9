"""Models, plans and weights that tests of masks draw, and stages by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from planner.accuracy.ranking import magnitudes
from planner.case import Case
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.settings import CostSettings
from planner.structure import allocation_units
from tests.planner.builders import Net, cluster
from tests.planner.generators import networks

Weights = list[NDArray[np.int64]]


def whole_weights(profile: ModelProfile, seed: int) -> Weights:
    """Whole numbers, so that every sum is exact; small ones, so that norms tie."""
    rng = np.random.default_rng(seed)
    found = []
    for layer in profile.layers:
        kernel = max(1, layer.weight_params // (layer.in_features * layer.out_features))
        found.append(rng.integers(-4, 5, (layer.out_features, layer.in_features, kernel)))
    return found


def all_magnitudes(weights: Weights) -> tuple[NDArray[np.float32], ...]:
    return tuple(magnitudes(weight) for weight in weights)


@st.composite
def wide_networks(draw: st.DrawFn) -> ModelProfile:
    """Mixing layers of every kernel, some of which read one tensor, or the image among others."""
    net = Net(3, 4)
    last = net.conv("image", draw(st.integers(6, 12)))
    for _ in range(draw(st.integers(1, 3))):
        kind, kernel = draw(st.sampled_from(["one", "two", "image"])), draw(st.integers(1, 3))
        out = draw(st.integers(6, 12))
        if kind == "image":
            last = net.concat("image", net.depthwise(last))
        made = net.conv(last, out, kernel=kernel, bias=draw(st.booleans()))
        last = net.add(made, net.conv(last, out)) if kind == "two" else made
    return net.profile()


def drawn_stages(case: Case, seed: int) -> tuple[StagePlan, ...]:
    """One or several stages on groups of nodes, with any counts that the nodes can send."""
    rng = np.random.default_rng(seed)
    nodes = [node.name for node in case.cluster.nodes]
    starts = [unit.start for unit in allocation_units(case.profile)][1:]
    cuts = rng.permutation(starts)[: rng.choice([0, 0, 0, 1, 2])][: len(nodes) - 1]
    ends = sorted(rng.permutation(range(1, len(nodes)))[: len(cuts)].tolist())
    groups = pairwise([0, *ends, len(nodes)])
    found = []
    for rows, group in zip(
        pairwise([0, *sorted(cuts.tolist()), len(case.profile.layers)]), groups, strict=True
    ):
        names = tuple(nodes[slice(*group)])
        owned = case.shares(names).owned
        layers = []
        for row in range(*rows):
            counts = rng.integers(0, owned[row][:, None] + 1, (len(names), len(names)))
            np.fill_diagonal(counts, 0)
            kept = tuple(map(tuple, counts.tolist()))
            layers.append(
                LayerPlan(
                    name=case.profile.layers[row].name,
                    nodes=len(names),
                    kept_features=kept if len(names) > 1 and owned[row].any() else None,
                )
            )
        found.append(StagePlan(nodes=names, layers=tuple(layers)))
    return tuple(found)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, tuple[StagePlan, ...], Weights]:
    settings = CostSettings(share_inputs=draw(st.booleans()))
    profile = draw(wide_networks() | networks())
    speeds = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    casting = draw(st.sampled_from(["broadcast", "unicast"]))
    case = Case(profile, cluster([float(s) for s in speeds], casting=casting), settings)
    seed = draw(st.integers(0, 2**16))
    return case, drawn_stages(case, seed), whole_weights(profile, seed)
