"""Masks against a count and a choice by hand: pairs, diagonal blocks, norms, MACs and bytes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from numpy.typing import NDArray
from pydantic import ValidationError

from planner.accuracy.energy import EnergyModel
from planner.case import Case
from planner.cost.stage import StageCosts
from planner.domain.owners import REPLICATED
from planner.domain.plan import LayerPlan, StagePlan
from planner.errors import BadInputError
from planner.strategies.baselines import independent_branches, uniform
from planner.strategies.costed import cost_stages
from planner.weights.masks import (
    LayerMask,
    dense_counts,
    kept_sub_rows,
    needed_weights,
    plan_masks,
    round_counts,
)
from tests.planner.builders import Net, chain, cluster
from tests.planner.mask_cases import Weights, all_magnitudes, cases, whole_weights


def block(layer: LayerMask, mask: NDArray[np.bool_], i: int, j: int) -> NDArray[np.bool_]:
    rows, columns = layer.output_owners == j, layer.input_owners == i
    kept: NDArray[np.bool_] = mask[rows][:, columns]
    return kept


def readers(stage: StageCosts, case: Case, row: int) -> list[int]:
    """Layers that decide together with one which features go."""
    source = case.profile.layers[row].inputs[0]
    others = [
        other
        for other, layer in enumerate(case.profile.layers)
        if layer.inputs[0] == source and stage.table.sparsifiable[other]
    ]
    return others if case.settings.share_inputs else [row]


def stage_of(found: list[StageCosts], row: int) -> StageCosts:
    return next(stage for stage in found if stage.rows.start <= row < stage.rows.stop)


@given(cases())
def test_every_pair_keeps_the_plans_count_of_its_largest_sub_rows(
    case: tuple[Case, tuple[StagePlan, ...], Weights],
) -> None:
    case, planned, weights = case
    found = cost_stages(case, planned).stages
    masks = {layer.row: layer for layer in plan_masks(found, all_magnitudes(weights))}
    plans = [layer for stage in planned for layer in stage.layers]
    for row, plan in enumerate(plans):
        stage = stage_of(found, row)
        if row in masks:
            assert isinstance(plan.kept_features, tuple)
            assert masks[row].nodes == stage.table.node_names
            _check_layer(masks[row], plan.kept_features, stage, case, weights)
        elif plan.kept_features is not None:  # only to nodes that compute nothing of the layer
            makers = np.unique(stage.owners.outputs[row])
            assert not np.array(plan.kept_features)[:, makers].any()


def _check_layer(
    layer: LayerMask,
    counts: tuple[tuple[int, ...], ...],
    stage: StageCosts,
    case: Case,
    weights: Weights,
) -> None:
    mask = layer.mask()
    assert mask[:, layer.input_owners == REPLICATED].all()
    outputs = stage.owners.outputs
    together = readers(stage, case, layer.row)

    def worth(feature: int, receiver: int) -> int:
        return sum(
            int(np.abs(weights[other][outputs[other] == receiver, feature]).sum())
            for other in together
        )

    everyone = range(len(layer.nodes))
    for i in everyone:
        held = np.flatnonzero(layer.input_owners == i).tolist()
        for j in everyone:
            kept = block(layer, mask, i, j)
            if i == j:
                assert kept.all() and not len(layer.sent[i][j])
                continue
            makes = len(kept) > 0
            assert (kept == kept[:1]).all()  # a sub-row stays or goes as a whole
            chosen = layer.sent[i][j].tolist()
            assert len(chosen) == counts[i][j] * makes
            if makes:
                assert [f for f, stays in zip(held, kept[0], strict=True) if stays] == chosen
            judges = [k for k in everyone if k != i] if stage.casting == "broadcast" else [j]
            norms = {f: sum(worth(f, judge) for judge in judges) for f in held}
            best = sorted(norms.values(), reverse=True)[: len(chosen)]
            assert sum(norms[f] for f in chosen) == sum(best)
        if stage.casting == "broadcast":  # one transmission serves all: the largest has the others
            subsets = sorted((set(layer.sent[i][j].tolist()) for j in everyone), key=len)
            assert all(a <= b for a, b in pairwise(subsets))


@given(cases())
def test_masks_imply_the_cost_models_macs_and_bytes(
    case: tuple[Case, tuple[StagePlan, ...], Weights],
) -> None:
    case, planned, weights = case
    found = cost_stages(case, planned).stages
    received: dict[tuple[int, str, int, int], set[int]] = {}
    for layer in plan_masks(found, all_magnitudes(weights)):
        stage = stage_of(found, layer.row)
        profile = case.profile.layers[layer.row]
        positions, rest = divmod(profile.macs, profile.in_features * profile.out_features)
        mask = layer.mask()
        per_node = [
            int(mask[layer.output_owners == node].sum()) * positions
            for node in range(len(layer.nodes))
        ]
        assert rest == 0 and per_node == stage.table.macs[layer.row, 0].tolist()
        sent_bytes = 0
        for i, of_sender in enumerate(layer.sent):
            fresh = []
            for j, features in enumerate(of_sender):
                key = (stage.rows.start, profile.inputs[0], i, j)
                had = received.setdefault(key, set()) if case.settings.share_inputs else set()
                fresh.append(set(features.tolist()) - had)
                had |= fresh[-1]
            broadcast = stage.casting == "broadcast"
            many = len(set().union(*fresh)) if broadcast else sum(map(len, fresh))
            sent_bytes += many * profile.input_feature_bytes
        moved = int(case.shares(layer.nodes).moved_bytes[layer.row].sum())
        if not (case.settings.share_inputs and stage.casting == "broadcast"):
            assert sent_bytes + moved == stage.table.wire_bytes[layer.row, 0]


@given(cases())
def test_what_the_masks_prune_is_the_energy_that_the_plan_loses(
    case: tuple[Case, tuple[StagePlan, ...], Weights],
) -> None:
    case, planned, weights = case
    sizes = all_magnitudes(weights)
    found = cost_stages(case, planned).stages
    model = EnergyModel("energy:test", sizes)
    total = sum(size.sum(dtype=np.float64) for size in sizes)
    assume(total > 0)
    by_row = {layer.row: layer for layer in plan_masks(found, sizes)}
    for stage in found:
        score = model.scores(stage)
        for row in range(stage.rows.start, stage.rows.stop):
            lost = 0.0
            if row in by_row:
                layer, size = by_row[row], sizes[row].astype(np.float64)
                between = layer.output_owners[:, None] != layer.input_owners[None, :]
                between &= (layer.input_owners != REPLICATED)[None, :]
                whole = size[between].sum()
                pruned = size[~layer.mask()].sum()
                lost = (pruned / whole if whole else 0.0) * size.sum() / total
            assert score[row, 0] == pytest.approx(lost, rel=1e-9, abs=1e-12)


@given(cases())
def test_only_the_weights_of_layers_that_prune_are_needed(
    case: tuple[Case, tuple[StagePlan, ...], Weights],
) -> None:
    case, planned, weights = case
    found = cost_stages(case, planned).stages
    needed = needed_weights(found)
    sizes = all_magnitudes(weights)
    some = [size if need else None for size, need in zip(sizes, needed, strict=True)]
    for few, all_known in zip(plan_masks(found, some), plan_masks(found, sizes), strict=True):
        assert np.array_equal(few.mask(), all_known.mask())
        assert few.prunes == (not few.mask().all())
        assert needed[few.row] or not few.prunes


def test_query_key_and_value_in_one_weight_are_cut_by_heads() -> None:
    net = Net(3, 1)
    fused = net.linear(net.linear("image", 8), 24, bias=False)
    net.linear(fused, 4)
    profile = net.profile()
    qkv = profile.layers[1].model_copy(update={"segments": 3, "granularity": 4})  # 2 heads of 4
    profile = profile.model_copy(update={"layers": (profile.layers[0], qkv, profile.layers[2])})
    case = Case(profile, cluster(2), levels=(0.0, 0.5, 1.0))
    planned = uniform(case, 2, 0.5).stages
    weights = whole_weights(profile, 3)
    layer = plan_masks(cost_stages(case, planned).stages, all_magnitudes(weights))[0]
    assert layer.row == 1
    assert layer.output_owners.tolist() == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4
    mask = layer.mask()
    for node, other in ((0, 1), (1, 0)):
        rows = mask[layer.output_owners == node]
        assert rows[:, layer.input_owners == node].all()
        assert rows[:, layer.input_owners == other].sum(axis=1).tolist() == [2] * 12


def test_a_matrix_by_hand() -> None:
    norms = np.array([[0, 5.0], [0, 1], [0, 9], [4, 0], [7, 0]])
    owners = np.array([0, 0, 0, 1, 1], dtype=np.int16)
    sent = kept_sub_rows(norms, owners, np.array([[0, 2], [1, 0]]), "unicast")
    assert [[features.tolist() for features in row] for row in sent] == [[[], [0, 2]], [[4], []]]
    outputs = np.array([1, 0], dtype=np.int16)
    layer = LayerMask(0, ("a", "b"), owners, outputs, sent, prunes=True)
    assert layer.mask().astype(int).tolist() == [[1, 0, 1, 1, 1], [1, 1, 1, 0, 1]]
    with pytest.raises(ValueError, match="node 1 holds 2 features, not 3"):
        kept_sub_rows(norms, owners, np.array([[0, 2], [3, 0]]), "unicast")


def test_the_counts_of_a_round() -> None:
    dense, planned = np.array([[0, 10], [7, 0]]), np.array([[0, 0], [3, 0]])
    assert round_counts(dense, planned, 0.0).tolist() == dense.tolist()
    assert round_counts(dense, planned, 0.24).tolist() == [[0, 8], [6, 0]]  # 7.6 and 6.04
    assert round_counts(dense, planned, 0.5).tolist() == [[0, 5], [5, 0]]
    assert round_counts(dense, planned, 0.96).tolist() == [[0, 0], [3, 0]]
    assert round_counts(dense, planned, 1.0).tolist() == planned.tolist()
    for progress in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="a number from 0 to 1"):
            round_counts(dense, planned, progress)


def test_dense_counts_go_to_nodes_that_compute() -> None:
    inputs = np.array([0, 0, 1, REPLICATED, 2], dtype=np.int16)
    outputs = np.array([0, 2, 2], dtype=np.int16)
    assert dense_counts(inputs, outputs, 3).tolist() == [[0, 0, 2], [1, 0, 1], [1, 0, 0]]


def test_branches_on_four_unequal_nodes_keep_their_own_blocks_alone() -> None:
    case = Case(chain(10, 11, 12), cluster([1.0, 2.0, 3.0, 4.0]))
    planned = independent_branches(case, 4).stages
    found = plan_masks(
        cost_stages(case, planned).stages, all_magnitudes(whole_weights(case.profile, 1))
    )
    assert [layer.row for layer in found] == [1, 2]
    for layer in found:
        own = layer.output_owners[:, None] == layer.input_owners[None, :]
        assert np.array_equal(layer.mask(), own)
        assert len(set(np.bincount(layer.output_owners))) > 1


def test_a_pipeline_has_no_masks(case_of_two: Case) -> None:
    planned = tuple(
        StagePlan(nodes=(node,), layers=(LayerPlan(name=layer.name, nodes=1),))
        for node, layer in zip("ab", case_of_two.profile.layers, strict=True)
    )
    found = cost_stages(case_of_two, planned).stages
    assert not needed_weights(found).any()
    assert plan_masks(found, (None, None)) == ()


@pytest.fixture
def case_of_two() -> Case:
    return Case(chain(8, 8), cluster(2))


def one_stage(case: Case, *kept: int | None) -> tuple[StagePlan, ...]:
    layers = tuple(
        LayerPlan(name=layer.name, nodes=2, kept_features=count)
        for layer, count in zip(case.profile.layers, kept, strict=True)
    )
    return (StagePlan(nodes=("a", "b"), layers=layers),)


def test_a_weight_that_decides_must_be_known(case_of_two: Case) -> None:
    found = cost_stages(case_of_two, one_stage(case_of_two, None, 2)).stages
    with pytest.raises(ValueError, match="the weight of layer 'conv_1' is needed"):
        plan_masks(found, (None, None))


def test_stages_that_do_not_fit_are_refused(case_of_two: Case) -> None:
    with pytest.raises(BadInputError, match=r"'conv_1': keeps 5 features.*at most 4"):
        cost_stages(case_of_two, one_stage(case_of_two, None, 5))
    with pytest.raises(ValidationError, match="should be less than 4611686018427387904"):
        one_stage(case_of_two, None, 10**30)
    other = Case(chain(8, 8, 8), cluster(2))
    with pytest.raises(BadInputError, match="the plan has 'nothing' where net has 'conv_2'"):
        cost_stages(other, one_stage(case_of_two, None, 2))


def test_names_of_the_cluster_decide_the_shares() -> None:
    """A stage on the second and third node is cut by their speeds, not by the first two's."""
    case = Case(chain(8, 8), cluster([1.0, 1.0, 3.0]))
    layers = tuple(
        LayerPlan(name=name, nodes=2, kept_features=kept)
        for name, kept in (("conv_0", None), ("conv_1", ((0, 1), (2, 0))))
    )
    planned = (StagePlan(nodes=("b", "c"), layers=layers),)
    (layer,) = plan_masks(
        cost_stages(case, planned).stages, all_magnitudes(whole_weights(case.profile, 2))
    )
    assert layer.input_owners.tolist() == layer.output_owners.tolist() == [0, 0] + [1] * 6
    assert [[len(features) for features in row] for row in layer.sent] == [[0, 1], [2, 0]]
