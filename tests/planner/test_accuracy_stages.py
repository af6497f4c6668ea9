"""Losses over several stages: every kind of model, against the exhaustive search."""

from __future__ import annotations

import numpy as np
import pytest

from planner.accuracy.energy import EnergyModel
from planner.accuracy.interface import LossModel
from planner.accuracy.measured import Sensitivities, measured_model
from planner.accuracy.model import AccuracyModel
from planner.accuracy.ranking import magnitudes
from planner.case import Case, sparsifiable_layers
from planner.domain.plan import StagePlan
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.strategies.costed import layer_plans, predict
from planner.strategies.optimise import optimise
from tests.planner.builders import chain, cluster, with_nodes

PROFILE = chain(8, 8, 8, 8, pixels=64)
MIXING = sparsifiable_layers(PROFILE)
LEVELS = (0.0, 0.5, 1.0)


def energy() -> LossModel:
    rng = np.random.default_rng(4)
    sizes = (magnitudes(rng.standard_normal((8, 8, 1, 1))) if m else None for m in MIXING)
    return EnergyModel("energy:test", tuple(sizes))


def squares() -> LossModel:
    points = MIXING[:, None] * np.array([0.0, 0.2, 1.0])
    return AccuracyModel("squares", np.array(LEVELS), points, 90.0, "%", 2, exponent=2)


def measured() -> LossModel:
    names = [layer.name for layer, m in zip(PROFILE.layers, MIXING, strict=True) if m]
    points = {name: {0.5: 0.1 * k, 0.75: 0.5} for k, name in enumerate(names, start=1)}
    found = Sensitivities("s.csv", points, dict.fromkeys(points, 2))
    return measured_model(found, PROFILE, MIXING)


MODELS = {"energy": energy(), "squares": squares(), "measured": measured()}


def case(kind: str) -> Case:
    nodes = cluster(3, macs_per_s=2e5, bandwidth_bytes_per_s=1e6)
    return Case(PROFILE, nodes, loss_model=MODELS[kind], levels=LEVELS)


def limits(kind: str, most: float) -> Limits:
    if kind == "energy":
        return Limits(max_energy_loss=most)
    return Limits(max_accuracy_drop=most)


@pytest.mark.parametrize("kind", MODELS)
def test_scores_of_all_stages_make_the_loss(kind: str) -> None:
    asked = case(kind)
    pair = ("a", "b")
    table = asked.table(pair)
    split = StagePlan(nodes=pair, layers=layer_plans(table, np.array([0, 1, 0, 0]), slice(0, 3)))
    alone = StagePlan(
        nodes=("c",), layers=layer_plans(asked.table(("c",)), np.zeros(4, np.int64), slice(3, 4))
    )
    found = predict(asked, (split, alone))
    scores = asked.loss(table)
    model = asked.loss_model
    assert model is not None
    value = found.energy_loss if kind == "energy" else found.accuracy_drop
    assert value is not None and value > 0
    assert model.score_limit(value) == pytest.approx(float(scores[1, 1]))
    other = found.accuracy_drop if kind == "energy" else found.energy_loss
    assert other is None


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("objective", ["latency", "throughput"])
@pytest.mark.parametrize("most", [0.0, 0.15, 0.45, 0.9])
def test_the_optimum_over_stages_is_the_exhaustive_one(
    kind: str, objective: str, most: float
) -> None:
    asked = case(kind)
    found = {
        solver: optimise(
            asked,
            Request(3, objective=objective, limits=limits(kind, most), solver=solver),
        ).predicted
        for solver in ("auto", "exhaustive")
    }
    fast, slow = found["auto"], found["exhaustive"]
    if objective == "latency":
        assert fast.latency_s == pytest.approx(slow.latency_s, rel=1e-9)
    else:
        assert fast.throughput_per_s == pytest.approx(slow.throughput_per_s, rel=1e-9)
    for predicted in (fast, slow):
        value = predicted.energy_loss if kind == "energy" else predicted.accuracy_drop
        assert value is not None and value <= most + 1e-9


def test_memory_drives_no_plan_beyond_the_measurements() -> None:
    asked = case("measured")
    whole = sum(layer.param_bytes for layer in PROFILE.layers)
    group = with_nodes(asked.cluster, memory_bytes=int(whole * 0.9) + 8 * 64 * 4 * 2)
    asked = Case(PROFILE, group, loss_model=MODELS["measured"], levels=LEVELS)
    plan = optimise(asked, Request(3, limits=Limits(max_accuracy_drop=100.0)))
    kept = [layer.sparsity for stage in plan.stages for layer in stage.layers]
    assert any(kept) and 1.0 not in kept
    assert plan.predicted.accuracy_drop is not None
