"""What `plan` answers is never worse than any row of `compare`, on every model and cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.accuracy.model import curve_model
from planner.case import Case, sparsifiable_layers
from planner.domain.request import Request
from planner.domain.settings import Limits, Objective, Parallelism
from planner.errors import InfeasibleError
from planner.strategies.compare import compare
from planner.strategies.optimise import objective_s, optimise
from profiles.catalog import cluster_names, load_cluster, load_curve, load_model, model_names

pytestmark = pytest.mark.thorough  # `make quick` does without

ONE_STAGE_EACH = ("pipeline-equal", "ar-mdi", "ar-mdi-macs", "optimal-allocation")
MOST_NODES = 8


def hold(model: str, cluster: str, objective: Objective, proven: bool = True) -> None:
    profile = load_model(model)
    known = sparsifiable_layers(profile)
    loss = curve_model(load_curve("resnet50-imagenet"), profile, known) if known.any() else None
    limits = Limits(max_accuracy_drop=0.5 if loss else None)
    case = Case(profile, load_cluster(cluster), loss_model=loss)
    most = min(MOST_NODES, len(case.cluster.nodes))
    request = Request(most, objective=objective, limits=limits, alternatives=False)
    rows = [row for row in compare(case, request, (most,)).rows if row.fits and row.latency_s]
    parallelisms: tuple[Parallelism, ...] = ("hybrid", "within-layer", "pipeline")
    for parallelism in parallelisms:
        mine = [
            row
            for row in rows
            if parallelism == "hybrid"
            or row.strategy == "single-node"
            or (row.strategy in ONE_STAGE_EACH) == (parallelism == "pipeline")
        ]
        try:
            plan = optimise(case, replace(request, parallelism=parallelism))
        except InfeasibleError:
            assert not [row for row in mine if row.strategy != "optimal"]
            continue
        assert plan.certificate is not None
        assert plan.certificate.status in (("optimal",) if proven else ("optimal", "feasible"))
        for row in mine:
            if parallelism != "hybrid" and row.strategy == "optimal":
                continue
            assert row.latency_s is not None and row.throughput_per_s is not None
            value_s = row.latency_s if objective == "latency" else 1 / row.throughput_per_s
            assert objective_s(plan) <= value_s * (1 + 1e-7), (parallelism, row.strategy)


@pytest.mark.parametrize(
    "model, objective",
    [
        ("mobilenetv2-224", "latency"),
        ("mobilenetv2-224", "throughput"),
        ("deit-s", "latency"),
        ("deit-s", "throughput"),
        ("esrgan", "latency"),
    ],
)
def test_on_arm_boards(model: str, objective: Objective) -> None:
    hold(model, "arm-wireless", objective)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["latency", "throughput"])
@pytest.mark.parametrize("cluster", cluster_names())
@pytest.mark.parametrize("model", model_names())
def test_on_every_model_and_cluster(model: str, cluster: str, objective: Objective) -> None:
    hold(model, cluster, objective, proven=False)
