"""L1 energy of weights against a sub-row by sub-row count, on equal and unequal nodes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from planner.accuracy.energy import EnergyModel
from planner.accuracy.ranking import magnitudes, ranking, sub_row_norms
from planner.case import Case, sparsifiable_layers
from planner.domain.model_profile import ModelProfile
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits
from planner.errors import BadInputError
from planner.strategies.baselines import (
    dense,
    independent_branches,
    plan_of_options,
    single_node,
    uniform,
)
from planner.strategies.costed import predict
from planner.strategies.optimise import optimal_sparsity
from tests.planner.builders import Net, chain, cluster

LEVELS = (0.0, 0.5, 0.75, 1.0)
Weights = list[NDArray[np.int64] | None]


def whole_weights(profile: ModelProfile, seed: int, top: int = 9) -> Weights:
    """Whole numbers, so that every sum is exact; (O, I, 3, 3) where a kernel has 9 places."""
    rng = np.random.default_rng(seed)
    found: Weights = []
    for layer, needed in zip(profile.layers, sparsifiable_layers(profile), strict=True):
        kernel = layer.weight_params // (layer.in_features * layer.out_features)
        side = round(kernel**0.5)
        shape = (layer.out_features, layer.in_features, side, side)
        found.append(rng.integers(-top, top + 1, shape) if needed else None)
    return found


def energy(weights: Weights) -> EnergyModel:
    sizes = tuple(None if w is None else magnitudes(w) for w in weights)
    return EnergyModel("energy:test", sizes)


def pruned_by_hand(
    weights: list[NDArray[np.int64]],
    inputs: NDArray[np.int16],
    outputs: NDArray[np.int16],
    kept: NDArray[np.int64],
    *,
    broadcast: bool = False,
) -> float:
    """Pruned share of the first weight's off-diagonal mass; all of them decide who goes."""
    nodes = len(kept)

    def mass(weight: NDArray[np.int64], feature: int, receiver: int) -> int:
        return sum(
            int(np.abs(weight[o, feature]).sum())
            for o in range(len(weight))
            if outputs[o] == receiver
        )

    pruned = whole = 0
    for sender in range(nodes):
        held = [f for f in range(len(inputs)) if inputs[f] == sender]
        others = [j for j in range(nodes) if j != sender]
        for receiver in others:
            judges = others if broadcast else [receiver]
            worth = {f: sum(mass(w, f, j) for w in weights for j in judges) for f in held}
            best = sorted(held, key=lambda f: (-worth[f], f))
            own = {f: mass(weights[0], f, receiver) for f in held}
            pruned += sum(own[f] for f in best[kept[sender, receiver] :])
            whole += sum(own.values())
    return pruned / whole if whole else 0.0


@given(
    seed=st.integers(0, 2**16),
    speeds=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    casting=st.sampled_from(["unicast", "broadcast"]),
)
def test_scores_are_those_of_a_count_by_hand(seed: int, speeds: list[int], casting: str) -> None:
    net = Net(3, 4)
    last = net.conv("image", 6)
    for out in (5, 8):
        last = net.conv(net.local(last), out, kernel=3)
    profile = net.profile()
    weights = whole_weights(profile, seed)
    case = Case(
        profile,
        cluster([float(speed) for speed in speeds]),
        CostSettings(casting=casting),
        levels=LEVELS,
    )
    nodes = len(speeds)
    table = case.table(case.names(nodes))
    exchange = case.stage(table)
    scores = energy(weights).scores(exchange)
    total = sum(int(np.abs(w).sum()) for w in weights if w is not None)
    for row, weight in enumerate(weights):
        for option in range(len(LEVELS)):
            expected = 0.0
            if weight is not None and table.sparsifiable[row]:
                expected = pruned_by_hand(
                    [weight],
                    exchange.owners.inputs[row],
                    exchange.owners.outputs[row],
                    table.kept_features[row, option],
                    broadcast=casting == "broadcast",
                ) * (int(np.abs(weight).sum()) / total)
            assert scores[row, option] == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_layers_that_share_a_transmission_are_ranked_together() -> None:
    net = Net(3, 4)
    stem = net.conv("image", 8)
    left, right = net.conv(stem, 6), net.conv(stem, 6)
    net.add(left, right)
    profile = net.profile()
    weights = whole_weights(profile, 7)
    case = Case(profile, cluster(2), CostSettings(share_inputs=True), levels=(0.0, 0.5))
    table = case.table(case.names(2))
    exchange = case.stage(table)
    rows = [i for i, layer in enumerate(profile.layers) if layer.inputs == (stem,)]
    first, second = (weights[row] for row in rows)
    assert first is not None and second is not None
    scores = energy(weights).scores(exchange)
    total = np.abs(first).sum() + np.abs(second).sum()
    for row, pair in zip(rows, ([first, second], [second, first]), strict=True):
        by_hand = pruned_by_hand(
            pair,
            exchange.owners.inputs[row],
            exchange.owners.outputs[row],
            table.kept_features[row, 1],
        )
        alone = pruned_by_hand(
            pair[:1],
            exchange.owners.inputs[row],
            exchange.owners.outputs[row],
            table.kept_features[row, 1],
        )
        share = np.abs(pair[0]).sum() / total
        assert scores[row, 1] == pytest.approx(by_hand * share, rel=1e-6)
        assert alone <= by_hand


def test_no_other_subset_of_that_size_prunes_less() -> None:
    profile = chain(6, 4)
    weights = whole_weights(profile, 3)
    case = Case(profile, cluster(2), levels=LEVELS)
    exchange = case.stage(case.table(case.names(2)))
    norms = sub_row_norms(magnitudes(weights[1]), exchange.owners.outputs[1], 2)
    held = np.flatnonzero(exchange.owners.inputs[1] == 0)
    best = ranking(norms, exchange.owners.inputs[1], 0, "unicast")[:, 1]
    assert sorted(best) == sorted(held)
    for count in range(len(held) + 1):
        kept = norms[best[:count], 1].sum()
        assert kept == max(norms[list(chosen), 1].sum() for chosen in combinations(held, count))


def test_norms_of_sub_rows_add_up_to_the_weight() -> None:
    weight = np.random.default_rng(0).standard_normal((6, 5, 3, 3))
    owners = np.array([0, 2, 2, 1, 0, 2], dtype=np.int16)
    norms = sub_row_norms(magnitudes(weight), owners, 3)
    assert norms.sum() == pytest.approx(np.abs(weight).sum(), rel=1e-6)
    assert norms[4, 2] == pytest.approx(np.abs(weight[[1, 2, 5], 4]).sum(), rel=1e-6)


def test_equal_norms_keep_the_earlier_feature() -> None:
    norms = np.ones((4, 2))
    owners = np.array([1, 0, 0, 0], dtype=np.int16)
    assert ranking(norms, owners, 0, "unicast")[:, 1].tolist() == [1, 2, 3]


@pytest.fixture
def case() -> Case:
    profile = chain(8, 8, 6)
    model = energy(whole_weights(profile, 11))
    return Case(profile, cluster(4), loss_model=model, levels=(0.0, 0.25, 0.5, 0.75, 1.0))


def test_ends_of_the_scale_and_no_points(case: Case) -> None:
    for nodes in (2, 3, 4):
        assert dense(case, nodes).predicted.energy_loss == 0.0
        cut = independent_branches(case, nodes).predicted
        assert cut.energy_loss == pytest.approx(1.0, rel=1e-12) and cut.energy_loss <= 1.0
        assert cut.accuracy is None and cut.accuracy_drop is None
        assert cut.origin["energy_loss"] == "derived"
    assert single_node(case).predicted.energy_loss == 0.0


def test_selection_by_norm_loses_less_than_chance(case: Case) -> None:
    found = uniform(case, 2, 0.5).predicted.energy_loss
    assert found is not None and 0 < found < 0.5


def test_more_sparsity_never_loses_less(case: Case) -> None:
    assert case.loss_model is not None
    for nodes in (2, 3, 4):
        scores = case.loss_model.scores(case.stage(case.table(case.names(nodes))))
        assert np.all(np.diff(scores, axis=1) >= 0)


@pytest.mark.parametrize("most", [0.0, 0.13, 0.4, 1.0])
def test_the_optimum_under_an_energy_limit_is_the_exhaustive_one(case: Case, most: float) -> None:
    limits = Limits(max_energy_loss=most)
    plan, result = optimal_sparsity(case, Request(2, limits=limits))
    everything, slow = optimal_sparsity(case, Request(2, limits=limits, solver="exhaustive"))
    assert plan is not None and everything is not None
    assert result.objective_s == pytest.approx(slow.objective_s, rel=1e-12)
    assert plan.predicted.energy_loss is not None
    assert plan.predicted.energy_loss <= most * (1 + 1e-9)


def test_counts_that_differ_per_pair_are_scored_pair_by_pair() -> None:
    profile = chain(8, 8)
    weights = whole_weights(profile, 5)
    case = Case(profile, cluster(2), loss_model=energy(weights), levels=(0.0, 0.5))
    plan = plan_of_options(case, case.table(case.names(2)), np.array([0, 1]), "disco-uniform")
    stage = plan.stages[0]
    uneven = stage.layers[1].model_copy(update={"kept_features": ((0, 3), (1, 0))})
    stage = stage.model_copy(update={"layers": (stage.layers[0], uneven)})
    weight = weights[1]
    assert weight is not None
    owners = case.owners(case.names(2))
    expected = pruned_by_hand(
        [weight], owners.inputs[1], owners.outputs[1], np.array([[0, 3], [1, 0]])
    )
    found = predict(case, (stage,)).energy_loss
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_layer_without_known_weights_stays_dense() -> None:
    profile = chain(8, 8, 8)
    weights = whole_weights(profile, 2)
    weights[2] = None
    case = Case(profile, cluster(2), loss_model=energy(weights), levels=(0.0, 0.5, 1.0))
    plan, _ = optimal_sparsity(case, Request(2, limits=Limits(max_energy_loss=1.0)))
    assert plan is not None
    assert [layer.sparsity for layer in plan.stages[0].layers] == [None, 1.0, 0.0]
    assert uniform(case, 2, 0.5).predicted.energy_loss is None


def test_a_limit_in_the_other_measure_is_bad_input(case: Case) -> None:
    with pytest.raises(BadInputError, match=r"max accuracy drop 0.5: the accuracy model energy:"):
        optimal_sparsity(case, Request(2, limits=Limits(max_accuracy_drop=0.5)))
    without = Case(case.profile, case.cluster)
    with pytest.raises(BadInputError, match=r"max energy loss 0.1: net has no accuracy model.*"):
        optimal_sparsity(without, Request(2, limits=Limits(max_energy_loss=0.1)))
