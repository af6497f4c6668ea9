"""Random joint problems in whole ticks, small enough to try everything."""

from __future__ import annotations

from random import Random

import numpy as np

from planner.solve.problem import NO_LIMIT, Problem

TICKS = (1e-9, 1e-6, 1e-3)


def random_joint(seed: int, least_units: int = 1, most_units: int = 5) -> Problem:
    """A joint problem of every kind: objectives, limits, node types, orders, media, ties."""
    rng = Random(seed)
    tick = rng.choice(TICKS)
    units, options = rng.randint(least_units, most_units), rng.randint(1, 3)
    uses, available, follows = _groups(rng)
    groups, positions = len(uses), int(uses.sum(axis=1).max())
    most = rng.choice([3, 30, 1000])

    def ticks(*shape: int, least: int = 0) -> np.ndarray:
        values = [rng.randint(least, most) for _ in range(int(np.prod(shape)))]
        return np.array(values, dtype=float).reshape(shape) * tick

    allowed = np.array(
        [rng.random() < 0.8 for _ in range(groups * units * options)], dtype=bool
    ).reshape(groups, units, options)
    allowed[..., 0] |= ~allowed.any(axis=2)
    latency = ticks(groups, units, options)
    if rng.random() < 0.5:  # sparser is faster and loses more
        latency = -np.sort(-latency, axis=2)
    resources = [latency] if rng.random() < 0.6 else [latency * 0.5, ticks(groups, units, options)]
    loss = np.sort(ticks(groups, units, options), axis=2) / tick
    loss[uses.sum(axis=1) == 1] = 0.0
    weights = np.sort(ticks(groups, units, options, positions) / tick, axis=2)[:, :, ::-1]
    live = ticks(groups, units, options, positions) / tick
    inside = np.arange(positions) < uses.sum(axis=1)[:, None]
    weights, live = weights * inside[:, None, None], live * inside[:, None, None]
    limits = np.full((groups, positions), NO_LIMIT, dtype=np.int64)
    if rng.random() < 0.5:
        tight = rng.uniform(0.3, 1.2) * (weights.sum(axis=1) + live.max(axis=1)).max()
        limits[inside & (ticks(groups, positions) > tick * most * 0.3)] = int(tight)
    objective = rng.choice(["latency", "bottleneck"])
    nodes = int(available.sum())
    total = float(latency.max(axis=(0, 2)).sum())
    maybe = lambda scale: rng.uniform(0.2, 1.3) * scale if rng.random() < 0.35 else None  # noqa: E731
    shared = rng.random() < 0.3
    transfer = ticks(groups, groups, units - 1) * rng.choice([0.0, 0.1, 1.0])
    return Problem(
        objective=objective,
        group_names=tuple(f"g{g}" for g in range(groups)),
        latency_s=latency,
        busy_s=np.stack(resources),
        medium_s=latency * 0.5 * shared,
        allowed=allowed,
        loss=loss,
        max_loss=rng.choice([None, 0.0, rng.uniform(0, 1) * float(loss.max(axis=(0, 2)).sum())]),
        weight_bytes=weights.astype(np.int64),
        live_bytes=live.astype(np.int64),
        memory_limit_bytes=limits,
        transfer_s=transfer,
        transfer_busy_s=transfer * (busy := 0.7 if units % 2 else 1.0),  # the rest is a delay
        transfer_medium_s=transfer * busy * shared,
        send_s=(software := transfer * 0.4 if units % 3 == 0 else None),
        receive_s=software,
        cuttable=np.array([rng.random() < 0.85 for _ in range(units - 1)], dtype=bool),
        input_s=(input_s := ticks(groups) * rng.choice([0, 0, 1])),
        output_s=(output_s := ticks(groups) * rng.choice([0, 0, 1])),
        input_busy_s=input_s * busy,
        output_busy_s=output_s * busy,
        input_medium_s=input_s * 0.6 * shared,
        output_medium_s=output_s * 0.6 * shared,
        uses=uses,
        available=available,
        follows=follows,
        max_nodes=rng.randint(1, nodes) if rng.random() < 0.4 else nodes,
        all_nodes=rng.random() < 0.25,
        single_stage=rng.random() < 0.15,
        max_latency_s=maybe(total),
        max_bottleneck_s=maybe(total / 2),
    )


def _groups(rng: Random) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct nodes in any order, equal nodes, or neighbours in ring order."""
    kind = rng.choice(["distinct", "equal", "two types", "ring"])
    if kind == "distinct":
        nodes = rng.randint(1, 3)
        subsets = [[(s >> n) & 1 for n in range(nodes)] for s in range(1, 2**nodes)]
        uses, available = np.array(subsets), np.ones(nodes, dtype=np.int64)
    elif kind == "equal":
        nodes = rng.randint(1, 4)
        uses, available = np.arange(1, nodes + 1)[:, None], np.array([nodes])
    elif kind == "two types":
        uses, available = np.array([[1, 0], [0, 1], [2, 0], [1, 1], [2, 1]]), np.array([2, 1])
    else:
        nodes = rng.randint(1, 3)
        runs = [(a, b) for a in range(nodes) for b in range(a, nodes)]
        uses = np.array([[b - a + 1] for a, b in runs])
        follows = np.array([[second[0] > first[1] for second in runs] for first in runs])
        return uses, np.array([nodes]), follows
    keep = sorted(rng.sample(range(len(uses)), rng.randint(1, len(uses))))
    uses = uses[keep]
    return uses, available, np.ones((len(uses), len(uses)), dtype=bool)
