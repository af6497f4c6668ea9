"""Random small problems in layouts, and networks with geometry for tests."""

from __future__ import annotations

import itertools

import numpy as np

from planner.solve.layout_problem import CutCosts, LayerArcs, LayoutProblem
from planner.solve.problem import NO_LIMIT


def random_problem(seed: int, *, limits: bool = True, gains: bool = False) -> LayoutProblem:
    """A few layers, states and unlike or equal nodes; ``gains``: some options lose less than 0."""
    rng = np.random.default_rng(seed)
    layers = int(rng.integers(2, 6))
    nodes = int(rng.integers(1, 4))
    equal = bool(rng.integers(0, 2))
    if equal:
        uses = np.arange(1, nodes + 1)[:, None]
        available = np.array([nodes])
    else:
        uses = np.array([r for r in itertools.product((0, 1), repeat=nodes) if any(r)])
        available = np.ones(nodes, dtype=np.int64)
    groups = len(uses)
    sizes = uses.sum(axis=1)
    positions = int(sizes.max()) if limits and rng.random() < 0.5 else 0
    resources = int(rng.integers(1, 3))
    shared = bool(rng.random() < 0.4)
    states = [2, *(int(rng.integers(2, 4)) for _ in range(layers))]
    arcs = []
    for layer in range(layers):
        before, after = [0], [0]
        for state in range(1, states[layer]):
            for _ in range(int(rng.integers(1, 4))):
                before.append(state)
                after.append(int(rng.integers(1, states[layer + 1])))
        count = len(before)
        shape = (groups, count)
        allowed = rng.random(shape) < 0.9
        allowed[:, 0] = sizes == 1
        allowed[:, 1:] &= (sizes > 1)[:, None]
        busy = rng.integers(1, 30, (resources, *shape)) * 1e-3
        latency = busy.max(axis=0) if resources == 2 else busy[0]
        arcs.append(
            LayerArcs(
                before=np.array(before),
                after=np.array(after),
                option=np.arange(count),
                rest=np.zeros(count, dtype=np.int64),
                latency_s=latency,
                busy_s=busy,
                medium_s=rng.integers(0, 10, shape) * 1e-3 * shared,
                loss=rng.integers(-3 * gains, 6, shape) * 0.25 * (np.arange(count) > 0),
                allowed=allowed,
                weight_bytes=rng.integers(0, 9, (*shape, positions)),
                live_bytes=rng.integers(0, 6, (*shape, positions)),
                rest_bytes=np.zeros((groups, 1, positions), dtype=np.int64),
            )
        )
    cut_kind = np.where(rng.random(layers - 1) < 0.8, np.arange(layers - 1), -1)
    cut_costs = []
    busy = 0.5 if layers % 2 else 1.0  # the rest of a transfer is a delay
    for layer in range(1, layers):
        mains = int(rng.integers(1, states[layer]))
        main = np.concatenate([[-1], rng.integers(-1, mains, states[layer] - 1)])
        arrival = np.where(
            rng.random(mains) < 0.8, rng.permutation(np.arange(1, states[layer]))[:mains], -1
        )
        seconds = rng.integers(0, 20, (groups, groups, mains)) * 1e-3
        medium = rng.integers(0, 5, (groups, groups, mains)) * 1e-3 * shared
        alone = (sizes == 1)[:, None, None] & (sizes == 1)[None, :, None]
        seconds, medium = (np.where(alone, x[..., :1], x) for x in (seconds, medium))
        send = seconds * (0.0 if layers % 3 else 0.5)  # keeps the nodes from computing
        receive = send * 0.5
        costs = CutCosts(main, arrival, seconds, seconds * busy, medium, send, receive)
        cut_costs.append(costs)
    memory = np.full((groups, int(sizes.max())), NO_LIMIT)
    if positions:
        for group in range(groups):
            memory[group, : sizes[group]] = rng.integers(10, 26, sizes[group])
    output = rng.integers(0, 3, (groups, states[-1])) * 1e-3
    output[:, 1:] = np.where(rng.random(output[:, 1:].shape) < 0.1, np.inf, output[:, 1:])
    asked = rng.random(3) if limits else np.ones(3)
    return LayoutProblem(
        objective="latency" if rng.random() < 0.5 else "bottleneck",
        group_names=tuple(f"group {g}" for g in range(groups)),
        arcs=tuple(arcs),
        kind=np.arange(layers),
        states=np.array(states),
        cut_costs=tuple(cut_costs),
        cut_kind=cut_kind,
        memory_limit_bytes=memory,
        input_s=(into := rng.integers(0, 3, groups) * 1e-3),
        output_s=output,
        input_busy_s=into * busy,
        output_busy_s=output * busy,
        input_medium_s=np.zeros(groups),
        output_medium_s=np.zeros((groups, states[-1])),
        uses=uses,
        available=available,
        follows=np.ones((groups, groups), dtype=np.bool_),
        max_nodes=int(rng.integers(1, nodes + 1)),
        all_nodes=bool(rng.random() < 0.2),
        single_stage=bool(rng.random() < 0.2),
        max_loss=float(rng.integers(0, 8)) * 0.25 if asked[0] < 0.5 else None,
        max_latency_s=float(rng.integers(30, 120)) * 1e-3 if asked[1] < 0.25 else None,
        max_bottleneck_s=float(rng.integers(15, 60)) * 1e-3 if asked[2] < 0.25 else None,
    )
