"""Spreading rules: exact where all layers are alike, scored where rows were published."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from planner.accuracy.model import curve_model, monotone_envelope
from planner.accuracy.scores import fit_power, score_rules
from planner.accuracy.spreading import (
    DEFAULT_RULE,
    SPREADING_RULES,
    SpreadingRule,
    exponent,
    layer_weights,
)
from planner.case import Case, sparsifiable_layers
from planner.domain.accuracy import AccuracyCurve, CurvePoint
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.strategies.baselines import (
    independent_branches,
    plan_of_options,
    split_baseline,
    uniform,
)
from planner.strategies.optimise import optimal_sparsity
from planner.structure import block_groups
from profiles.catalog import load_cluster, load_curve, load_model
from tests.planner.builders import chain, cluster

CURVE = AccuracyCurve(
    name="made",
    metric="%",
    models=(),
    nodes=2,
    disco=tuple(
        CurvePoint(sparsity_percent=level, value=value)
        for level, value in ((0, 90.0), (50, 90.5), (75, 89.0), (100, 85.0))
    ),
    origin="measured",
    source="made up",
)
ACCURACY_PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"


@pytest.mark.parametrize("rule", SPREADING_RULES)
def test_uniform_plans_lose_what_was_published(rule: SpreadingRule) -> None:
    profile, curve = load_model("resnet50"), load_curve("resnet50-imagenet")
    model = curve_model(curve, profile, sparsifiable_layers(profile), rule)
    case = Case(profile, load_cluster("head-mounted"), loss_model=model)
    cut = independent_branches(case, 2).predicted
    assert cut.accuracy == pytest.approx(73.36, abs=1e-9)
    # whole features move S by less than half a percent on the widest layers
    found = uniform(case, 2, 0.9).predicted.accuracy_drop
    assert found == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("rule", SPREADING_RULES)
def test_shares_add_up_and_follow_their_measure(rule: SpreadingRule) -> None:
    profile = chain(8, 16, 4)
    mask = sparsifiable_layers(profile)
    shares = layer_weights(rule, profile, mask)
    assert shares.sum() == pytest.approx(1) and np.all(shares[~mask] == 0)
    measure = {"equal": (1, 1), "activations": (8, 16), "weights": (128, 64), "macs": (128, 64)}
    first, second = measure[rule.removesuffix("-squares")]
    assert shares[1] / shares[2] == pytest.approx(first / second)


def test_squares_add_up_to_the_square_of_the_loss() -> None:
    profile = chain(8, 8, 8, 8)
    mask = sparsifiable_layers(profile)
    model = curve_model(CURVE, profile, mask, "equal-squares", own=True)
    case = Case(profile, cluster(2), loss_model=model, levels=(0.0, 0.5, 0.75, 1.0))
    assert exponent("equal-squares") == 2 and exponent("equal") == 1

    def drop(*options: int) -> float:
        plan = plan_of_options(case, case.table(case.names(2)), np.array([0, *options]), "chosen")
        found = plan.predicted.accuracy_drop
        assert found is not None and plan.predicted.accuracy == pytest.approx(90 - found)
        return found

    assert drop(3, 3, 3) == pytest.approx(5.0)
    assert drop(3, 0, 0) == pytest.approx(5.0 / 3**0.5)
    assert drop(3, 2, 1) == pytest.approx(((25 + 1 + 0) / 3) ** 0.5)
    assert drop(3, 0, 0) + drop(0, 3, 0) > drop(3, 3, 0)
    assert model.loss_of(model.score_limit(0.7)) == pytest.approx(0.7)


@pytest.mark.parametrize("rule", ["equal-squares", "macs-squares"])
@pytest.mark.parametrize("most", [0.0, 0.4, 1.0, 3.0, 5.0])
def test_the_optimum_under_squares_is_the_exhaustive_one(rule: SpreadingRule, most: float) -> None:
    profile = chain(8, 12, 8, 20)
    model = curve_model(CURVE, profile, sparsifiable_layers(profile), rule)
    case = Case(profile, cluster(2), loss_model=model, levels=(0.0, 0.5, 0.75, 1.0))
    limits = Limits(max_accuracy_drop=most)
    plan, result = optimal_sparsity(case, Request(2, limits=limits))
    _, slow = optimal_sparsity(case, Request(2, limits=limits, solver="exhaustive"))
    assert plan is not None and plan.predicted.accuracy_drop is not None
    assert plan.predicted.accuracy_drop <= most * (1 + 1e-9)
    assert result.objective_s == pytest.approx(slow.objective_s, rel=1e-12)


def test_scores_are_the_losses_that_split_plans_predict() -> None:
    profile, curve = load_model("resnet50"), load_curve("resnet50-imagenet")
    mask = sparsifiable_layers(profile)
    scores = {s.rule: s for s in score_rules(curve, profile, block_groups(profile, mask), mask)}
    for rule in ("equal", "equal-squares"):
        model = curve_model(curve, profile, mask, rule)
        case = Case(profile, load_cluster("head-mounted"), loss_model=model)
        drops = [
            split_baseline(case, 2, row.strategy, row.groups).predicted.accuracy_drop
            for row in curve.splits
        ]
        assert drops == pytest.approx(list(scores[rule].predicted))


def test_the_default_is_the_best_and_the_page_has_every_score() -> None:
    profile, curve = load_model("resnet50"), load_curve("resnet50-imagenet")
    mask = sparsifiable_layers(profile)
    scores = score_rules(curve, profile, block_groups(profile, mask), mask)
    assert scores[0].rule == DEFAULT_RULE
    page = ACCURACY_PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)`(?: \(default\))? \|.*\| ([\d.]+) \|$", page, re.MULTILINE)
    assert rows == [(score.rule, f"{score.rmse_points:.2f}") for score in scores]


def test_a_fitted_power_is_no_better_on_rows_that_it_has_not_seen() -> None:
    profile, curve = load_model("resnet50"), load_curve("resnet50-imagenet")
    mask = sparsifiable_layers(profile)
    groups = block_groups(profile, mask)
    scores = {s.rule: s.rmse_points for s in score_rules(curve, profile, groups, mask)}
    fitted = fit_power(curve, profile, groups, mask, "equal")
    assert fitted.power == pytest.approx(0.5, abs=0.02)
    assert fitted.rmse_points <= scores["equal-squares"] < fitted.left_out_rmse_points
    # by hand: the power on a grid
    weights = layer_weights("equal", profile, mask)
    losses = [curve.dense - row.value for row in curve.splits]
    shares = []
    for row in curve.splits:
        chosen = (
            groups[-row.groups :] if row.strategy == "dense-then-split" else groups[: row.groups]
        )
        shares.append(sum(weights[group.start : group.stop].sum() for group in chosen))
    whole = monotone_envelope(curve)[1][-1]
    grid = np.arange(0.05, 3, 0.001)
    errors = [np.mean((whole * np.array(shares) ** p - losses) ** 2) for p in grid]
    assert fitted.power == pytest.approx(grid[int(np.argmin(errors))], abs=0.002)


def test_no_shares_at_all_let_losses_add_up_to_the_published_rows() -> None:
    curve = load_curve("resnet50-imagenet")
    loss = {(row.strategy, row.groups): curve.dense - row.value for row in curve.splits}
    whole = monotone_envelope(curve)[1][-1]
    # a cut and the cut of all other groups share the whole out; the best split halves the excess
    excess = [
        loss["dense-then-split", groups] + loss["split-then-aggregate", 4 - groups] - whole
        for groups in (1, 2, 3)
    ]
    least = np.sqrt(sum(2 * (e / 2) ** 2 for e in excess) / 6)
    assert f"below {least:.2f}" in ACCURACY_PAGE.read_text(encoding="utf-8")
    profile = load_model("resnet50")
    mask = sparsifiable_layers(profile)
    for score in score_rules(curve, profile, block_groups(profile, mask), mask):
        assert score.rule.endswith("-squares") or score.rmse_points >= least
