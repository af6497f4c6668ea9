"""Stages of whole blocks: where a model may be cut, and what that costs."""

from __future__ import annotations

import numpy as np
import pytest

from planner.case import Case
from planner.domain.request import Request
from planner.domain.settings import Objective
from planner.strategies.optimise import find_plan
from planner.structure import allocation_units, cuts_between_blocks, tensors_across
from profiles.catalog import load_cluster, load_model
from tests.planner.builders import chain, cluster


@pytest.mark.parametrize(
    "model, blocks, module",
    [
        ("gpt2", 12, "transformer.h."),
        ("llama-3.1-8b", 32, "model.layers."),
        ("deit-s", 12, "layer"),
    ],
)
def test_a_transformer_is_cut_between_its_blocks(model: str, blocks: int, module: str) -> None:
    profile = load_model(model)
    cuts = np.flatnonzero(cuts_between_blocks(profile))
    units = allocation_units(profile)
    ends = {profile.layers[units[cut].stop - 1].name for cut in cuts.tolist()}
    inside = [name for name in ends if module in name]
    # between two blocks, and around them where the model has layers of its own
    assert blocks - 1 <= len(inside) <= len(ends) <= blocks + 3
    across = tensors_across(profile, with_inputs=False)
    assert all(len(across[units[cut].stop - 1]) == 1 for cut in cuts.tolist())


def test_a_residual_block_is_not_parted() -> None:
    profile = load_model("resnet50")
    cuts, units = cuts_between_blocks(profile), allocation_units(profile)
    across = tensors_across(profile, with_inputs=False)
    for cut, may in enumerate(cuts.tolist()):
        end = units[cut].stop - 1
        one, other = (layer.name.split(".") for layer in profile.layers[end : end + 2])
        if may:
            assert len(across[end]) == 1
            assert one[:6] != other[:6] or "stages" not in one
    assert 16 <= cuts.sum() <= 20  # 16 blocks, and what stands around them


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_stages_are_of_whole_blocks_and_no_better(objective: Objective) -> None:
    case = Case(load_model("gpt2"), load_cluster("arm-wireless"))
    units = allocation_units(case.profile)
    starts = {units[cut + 1].start for cut in np.flatnonzero(cuts_between_blocks(case.profile))}
    values = []
    for cut_at in ("layers", "blocks"):
        request = Request(
            4, exactly=True, parallelism="pipeline", objective=objective, cut_at=cut_at
        )
        plan, result = find_plan(case, request)
        assert plan is not None and result.certificate.status == "optimal"
        begins = np.cumsum([len(stage.layers) for stage in plan.stages])[:-1].tolist()
        if cut_at == "blocks":
            assert set(begins) <= starts
            assert "whole blocks" in (plan.certificate.scope if plan.certificate else "")
        values.append(result.objective_s)
    assert values[0] <= values[1] * (1 + 1e-9)


def test_a_chain_of_layers_is_cut_anywhere() -> None:
    """Layers without numbered modules around them are blocks of their own."""
    assert cuts_between_blocks(chain(8, 8, 8)).all()
    request = Request(2, cut_at="blocks", exactly=True, parallelism="pipeline")
    plan, _ = find_plan(Case(chain(8, 8, 8), cluster(2)), request)
    assert plan is not None and len(plan.stages) == 2
