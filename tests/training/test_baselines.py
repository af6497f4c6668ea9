"""The papers' baselines by name, and what a pruner makes of them."""

from __future__ import annotations

import pytest
import torch

from planner.case import Case
from planner.domain.request import Request
from planner.errors import BadInputError
from planner.strategies.compare import compare
from planner.training.baselines import baseline_plan
from planner.training.pruner import Pruner
from tests.planner.builders import cluster
from tests.training.models import Groups, profiled

PROFILE = profiled(Groups())
STUDY = Case(PROFILE, cluster(2))


def kept(strategy: str, sparsity: float | None = None) -> dict[str, float]:
    """Share of every layer's weights that a baseline keeps in training."""
    torch.manual_seed(0)
    model = Groups()
    plan = baseline_plan(STUDY, 2, strategy, sparsity)
    assert plan.strategy == strategy
    pruner = Pruner(model, plan, PROFILE, selection="random" if strategy == "random" else "largest")
    pruner.prune()
    return {
        name.removesuffix(".weight"): float(mask.float().mean())
        for name, mask in pruner.masks.items()
    }


LAYERS = [*(f"blocks.{number}" for number in range(6)), "head"]


@pytest.mark.parametrize(
    "strategy, independent",
    [
        ("dense", []),
        ("independent-branches", LAYERS),
        ("dense-then-split@1", LAYERS[4:]),
        ("dense-then-split@2", LAYERS[2:]),
        ("split-then-aggregate@1", LAYERS[:2]),
        ("split-then-aggregate@2", LAYERS[:4]),
    ],
)
def test_layers_that_are_independent(strategy: str, independent: list[str]) -> None:
    assert kept(strategy) == dict.fromkeys(independent, 0.5)


def test_the_same_counts_chosen_by_norm_or_by_chance() -> None:
    largest, chosen = kept("disco-uniform", 0.5), kept("random", 0.5)
    assert largest == chosen == dict.fromkeys(LAYERS, 0.75)


def test_they_are_the_rows_of_a_comparison() -> None:
    rows = compare(STUDY, Request(2), (2,), (0.5,)).rows
    for row in rows[1:]:
        if row.strategy.startswith(("pipeline", "ar-mdi", "optimal")):
            continue
        if row.strategy in ("rows", "tokens", "fused-rows", "tensor-parallel", "sequence-parallel"):
            continue  # nothing is dropped: there is nothing to train
        sparsity = 0.5 if row.strategy in ("disco-uniform", "random") else None
        plan = baseline_plan(STUDY, 2, row.strategy, sparsity)
        assert plan.predicted.latency_s == row.latency_s


@pytest.mark.parametrize(
    "strategy, sparsity, nodes, message",
    [
        ("dense-then-split@3", None, 2, "model has dense-then-split@k for k in 1, 2"),
        ("dense-then-split", None, 2, "dense-then-split@k for k in 1, 2"),
        ("dense-then-split@x", None, 2, "dense-then-split@k for k in 1, 2"),
        ("sparse", None, 2, "one of dense, independent-branches, disco-uniform, random, dense-th"),
        ("random", None, 2, "disco-uniform and random take one"),
        ("dense", 0.5, 2, "disco-uniform and random take one"),
        ("random", 1.5, 2, "a number from 0 to 1"),
        ("random", float("nan"), 2, "a number from 0 to 1"),
        ("dense", None, 1, "nodes 1: cluster has 2"),
        ("dense", None, 3, "nodes 3: cluster has 2"),
    ],
)
def test_what_is_none(strategy: str, sparsity: float | None, nodes: int, message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        baseline_plan(STUDY, nodes, strategy, sparsity)
    assert message in str(caught.value)
