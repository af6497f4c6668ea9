"""Recompute every figure of docs/results.md from the shipped library (``--check``: compare)."""

from __future__ import annotations

import sys

import numpy as np
from documents import command, made, ms, table

import planner
from planner.accuracy.model import curve_model
from planner.accuracy.scores import FittedPower, RuleScore, fit_power, score_rules
from planner.accuracy.spreading import DEFAULT_RULE, SPREADING_RULES
from planner.case import Case, sparsifiable_layers
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import CostSettings, Limits
from planner.strategies.baselines import (
    ar_mdi,
    dense,
    independent_branches,
    pipeline_equal,
    single_node,
    uniform,
)
from planner.strategies.optimise import optimal_allocation, optimal_sparsity, optimise
from planner.structure import block_groups
from profiles.catalog import load_cluster, load_curve, load_model

INTRODUCTION = """# Results

Every figure on this page, but for the last section's, is recomputed by
`python scripts/build_results.py`; a test holds the page against a fresh run. Times are derived by
the cost model (docs/model.md), not measured on devices. Accuracies are published (measured by the
authors) or assumed, as marked.
[disco.md](disco.md) reproduces DISCO's own figures.
"""


def case_on(cluster: str, model: str = "resnet50", *, overlap: bool = False) -> Case:
    """A catalogue model on a catalogue cluster with its default accuracy model."""
    return planner.make_case(model, cluster, settings=CostSettings(overlap=overlap))


def head_mounted() -> str:
    """ResNet-50 on the published pair."""
    case = case_on("head-mounted")
    plans = [dense(case, 2), uniform(case, 2, 0.8), single_node(case), pipeline_equal(case, 2)]
    full, sparse = plans[0].predicted, plans[1].predicted
    costs = case.table(case.names(2), (0.0,))
    ratio = costs.comm_s[:, 0][costs.sparsifiable] / costs.compute_s[:, 0][costs.sparsifiable]
    rows = [
        (
            plan.strategy + (" 80 %" if plan.strategy == "disco-uniform" else ""),
            plan.node_count,
            ms(plan.predicted.comm_s),
            ms(plan.predicted.compute_s),
            ms(plan.predicted.latency_s),
        )
        for plan in plans
    ]
    header = "plan | nodes | communication (ms) | computation (ms) | latency (ms)"
    return "\n\n".join(
        [
            "## ResNet-50 on the head-mounted pair",
            "125 GMAC/s and 37.5 MB/s per node, full duplex, no overlap.",
            table(header, rows),
            f"Speed-up of uniform 80 % over dense: **{full.latency_s / sparse.latency_s:.2f}×** "
            "(published: 4.7×). Dense communication takes at least 10 times as long as "
            f"computation in {int((ratio >= 10).sum())} of {len(ratio)} layers that communicate, "
            f"at least 100 times in {int((ratio >= 100).sum())}. One node alone is faster than "
            "each of these: on this pair distributing pays only at higher sparsity (last table) "
            "or where the model does not fit on one node.",
        ]
    )


def small_nodes() -> str:
    """ResNet-50 on many small nodes."""
    case = case_on("small-nodes")
    plans: list[tuple[str, Plan]] = [("single node", single_node(case))]
    for nodes in (2, 4, 8):
        plans += [
            ("dense", dense(case, nodes)),
            ("DISCO, uniform 90 %", uniform(case, nodes, 0.9)),
            ("independent branches", independent_branches(case, nodes)),
            ("pipeline, equal parts", pipeline_equal(case, nodes)),
            ("AR-MDI", ar_mdi(case, nodes)),
        ]
        best, _ = optimal_allocation(case, Request(nodes, objective="throughput"))
        chosen, _ = optimal_sparsity(case, Request(nodes, limits=Limits(max_accuracy_drop=0.5)))
        assert best is not None and chosen is not None
        plans += [
            ("pipeline, optimal for throughput", best),
            ("sparsity per layer, optimal at 0.5 points", chosen),
        ]
    rows = [
        (
            name,
            plan.node_count,
            ms(plan.predicted.latency_s),
            f"{plan.predicted.throughput_per_s:.2f}",
            f"{max(plan.predicted.memory_bytes.values()) / 1e6:.1f}",
        )
        for name, plan in plans
    ]
    header = "plan | nodes | latency (ms) | throughput (1/s) | memory of the fullest node (MB)"
    return "\n\n".join(
        [
            "## ResNet-50 on small nodes",
            "3.75 GMAC/s and 37.5 MB/s per node, full duplex, no overlap. `optimal` "
            "rows are proven to within 1e-9 over 14 levels of sparsity per layer, under the "
            "default spreading rule.",
            table(header, rows),
        ]
    )


def scores() -> list[RuleScore]:
    """Every spreading rule against the six published split rows."""
    profile = load_model("resnet50")
    mask = sparsifiable_layers(profile)
    groups = block_groups(profile, mask)
    return score_rules(load_curve("resnet50-imagenet"), profile, groups, mask)


def fitted() -> FittedPower:
    """What one fitted number would add to the default rule."""
    profile = load_model("resnet50")
    mask = sparsifiable_layers(profile)
    groups = block_groups(profile, mask)
    return fit_power(load_curve("resnet50-imagenet"), profile, groups, mask, DEFAULT_RULE)


def constant_rmse(losses: tuple[float, ...]) -> float:
    """Error of predicting each row by the mean of the others."""
    others = [(sum(losses) - loss) / (len(losses) - 1) for loss in losses]
    return float(np.sqrt(np.mean((np.array(losses) - np.array(others)) ** 2)))


def spreading() -> str:
    """How far the rules can be trusted."""
    curve = load_curve("resnet50-imagenet")
    found, power = scores(), fitted()
    names = [f"{row.strategy}@{row.groups}" for row in curve.splits]
    rows: list[tuple[object, ...]] = [
        (
            score.rule,
            *(f"{value:.2f}" for value in score.predicted),
            f"**{score.rmse_points:.2f}**",
        )
        for score in found
    ]
    rows.append(("published", *(f"{value:.2f}" for value in found[0].published), ""))
    header = " | ".join(["rule", *names, "RMSE"])
    return "\n\n".join(
        [
            "## Spreading rules against the published split rows",
            "Predicted loss of ResNet-50 in points of top-1 where the uniform curve's loss at "
            "100 % is spread over the layers by each rule ([accuracy.md](accuracy.md)). The rule "
            "with the least error is the default; with an error of this size on losses of 1.7 to "
            "3.5 points, none is exact.",
            table(header, rows),
            "No number is fitted to these rows. Where the network loses D·(Σ w)^p with equal "
            f"shares w, the power that fits them best is p = {power.power:.2f} "
            f"(RMSE {power.rmse_points:.2f}; each row predicted by the power fitted to the "
            f"others: {power.left_out_rmse_points:.2f}); the squares stand for p = 0.5, adding "
            "losses for p = 1. Predicting each row by the mean of the other five has an RMSE of "
            f"{constant_rmse(found[0].published):.2f}: a rule that is not clearly below says "
            "little.",
        ]
    )


def gains() -> tuple[str, list[tuple[int, float, float]]]:
    """Gain of the per-layer plan over uniform DISCO at equal predicted loss, per rule."""
    profile, curve = load_model("resnet50"), load_curve("resnet50-imagenet")
    mask = sparsifiable_layers(profile)
    rows: list[tuple[object, ...]] = []
    ranges = []
    for nodes in (2, 4, 8):
        gain = []
        for rule in SPREADING_RULES:
            model = curve_model(curve, profile, mask, rule)
            case = Case(profile, load_cluster("small-nodes"), loss_model=model, curve=curve)
            reference = uniform(case, nodes, 0.9).predicted
            limit = Limits(max_accuracy_drop=reference.accuracy_drop)
            plan, _ = optimal_sparsity(case, Request(nodes, limits=limit))
            assert plan is not None
            gain.append(reference.latency_s / plan.predicted.latency_s)
        rows.append((nodes, *(f"{value:.2f}×" for value in gain)))
        ranges.append((nodes, min(gain), max(gain)))
    header = " | ".join(["nodes", *SPREADING_RULES])
    text = "\n\n".join(
        [
            "## What choosing the sparsity per layer promises",
            "Latency of uniform DISCO at 90 % over latency of the optimal per-layer plan, small "
            "nodes, at the loss that the same rule predicts for the uniform plan. The rule decides "
            "the gain, so that it is quoted as a range and is an assumption until a model is "
            "trained.",
            table(header, rows),
        ]
    )
    return text, ranges


def fewer() -> str:
    """When distributing does not pay."""
    rows = []
    for cluster in ("head-mounted", "small-nodes"):
        case = case_on(cluster)
        most = min(len(case.cluster.nodes), 4)
        plan = optimise(case, Request(most, limits=Limits(max_accuracy_drop=0.5)))
        rows.append((cluster, most, plan.strategy, plan.node_count, ms(plan.predicted.latency_s)))
    header = "cluster | nodes allowed | best plan | nodes used | latency (ms)"
    return "\n\n".join(["## The best plan where fewer nodes are allowed", table(header, rows)])


TRAINED = """## Networks trained to plans

Measured: networks that were trained, pruned to plans and fine-tuned on three small tasks. Bars are
one standard deviation over the seeds. [training-results.md](training-results.md) has the tables,
every interval, and where the paper's orderings do not hold; `python scripts/build_training.py`
makes it and the pictures.

![super-resolution ×2 of photographs](images/training-super-resolution.svg)

![noisy digits, a vision transformer](images/training-digits-vit.svg)

![noisy digits, a residual convolutional network](images/training-digits-cnn.svg)"""


def page() -> str:
    """The whole page."""
    np.seterr(all="raise", under="ignore")
    parts = [INTRODUCTION.strip(), head_mounted(), small_nodes(), spreading()]
    parts += [gains()[0], fewer(), TRAINED]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write or check; 1 where the page is stale."""
    return made({"results.md": page()}, command(__doc__).parse_args().check)


if __name__ == "__main__":
    sys.exit(main())
