"""Figures of whole models in every way, written out from layer shapes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest

from planner.accuracy.model import curve_model
from planner.case import Case, sparsifiable_layers
from planner.domain.cluster import tuned_cluster
from planner.domain.layouts import Conversion
from planner.domain.model_profile import ModelProfile, TensorSpec
from planner.domain.plan import LayerPlan, Plan, StagePlan
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.strategies.baselines import dense, single_node
from planner.strategies.costed import cost_stages, predict
from planner.strategies.optimise import find_plan
from profiles.catalog import load_cluster, load_curve, load_model
from tests.planner.builders import cluster, with_nodes
from tests.planner.test_goldens import B_BYTES_PER_S, SMALL_NODE_MACS_PER_S, resnet50

NODES = pytest.mark.parametrize("nodes", [2, 4, 8])
ELEMENT = 4


@pytest.fixture(scope="module")
def small_nodes() -> Case:
    return Case(load_model("resnet50"), load_cluster("small-nodes"))


def rows_of(count: int, nodes: int) -> list[range]:
    """As many rows on each node, one more on the first where they do not divide."""
    sizes = [count // nodes + (j < count % nodes) for j in range(nodes)]
    ends = list(itertools.accumulate(sizes))
    return [range(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def halo_s(features: int, side: int, after: int, kernel: int, nodes: int) -> float:
    """Seconds until every node has all rows of a side² map that its rows of the output read."""
    stride, pad = side // after, (kernel - 1) // 2
    has, makes = rows_of(side, nodes), rows_of(after, nodes)
    sent, received = [0] * nodes, [0] * nodes
    for i, j in itertools.permutations(range(nodes), 2):
        reads = {r * stride - pad + k for r in makes[j] for k in range(kernel)}
        size = len(reads & set(has[i])) * features * side * ELEMENT
        sent[i] += size
        received[j] += size
    return max(*sent, *received) / B_BYTES_PER_S


def rows_throughout_s(nodes: int) -> float:
    """ResNet-50 by rows on small nodes: communication and computation, layer by layer."""
    seconds = 0.0
    parts = resnet50()
    layers = [layer for part in parts for layer in part]
    for index, layer in enumerate(layers[:-1]):
        most = max(map(len, rows_of(layer.out_side, nodes)))
        seconds += layer.macs * most / layer.out_side / SMALL_NODE_MACS_PER_S
        if index:  # the image is on every node
            seconds += halo_s(layer.inputs, layer.in_side, layer.out_side, layer.kernel, nodes)
        else:  # and behind the first one is the pooling of three rows
            seconds += halo_s(layer.outputs, 112, 56, 3, nodes)
    # the mean of 7 × 7: every node tells every other its part of that one's features, which then
    # go to all for the classifier
    share = Fraction(layers[-1].inputs, nodes) * ELEMENT
    seconds += 2 * float((nodes - 1) * share) / B_BYTES_PER_S
    return seconds + layers[-1].macs / nodes / SMALL_NODE_MACS_PER_S


def rows_throughout(case: Case, nodes: int) -> tuple[StagePlan, ...]:
    """The same as a plan."""
    layers = case.profile.layers
    kept = layers[-1].in_features // nodes
    added = Conversion(tensor=layers[-3].name, source="sums", target="features")
    plans = [LayerPlan(name=layer.name, nodes=nodes, way="positions") for layer in layers[:-3]]
    plans += [
        LayerPlan(name=layers[-3].name, nodes=nodes, way="sums"),
        LayerPlan(name=layers[-2].name, nodes=nodes, way="features", conversions=(added,)),
        LayerPlan(name=layers[-1].name, nodes=nodes, way="features", kept_features=kept),
    ]
    return (StagePlan(nodes=case.names(nodes), layers=tuple(plans)),)


@NODES
def test_resnet50_by_rows_is_what_its_layers_say(small_nodes: Case, nodes: int) -> None:
    found = predict(small_nodes, rows_throughout(small_nodes, nodes))
    assert found.latency_s == pytest.approx(rows_throughout_s(nodes), rel=1e-12)
    about = {2: 0.567, 4: 0.310, 8: 0.168}[nodes]
    assert found.latency_s == pytest.approx(about, rel=0.1)


def best(case: Case, nodes: int, **fields: object) -> Plan:
    """The proven optimum."""
    plan, result = find_plan(case, Request(nodes, **fields))  # type: ignore[arg-type]
    assert plan is not None and result.certificate.status == "optimal"
    return plan


@NODES
def test_without_loss_resnet50_is_at_least_as_fast_as_by_rows(
    small_nodes: Case, nodes: int
) -> None:
    plan = best(small_nodes, nodes)
    assert plan.predicted.latency_s <= rows_throughout_s(nodes)
    assert plan.predicted.latency_s <= {2: 0.570, 4: 0.315, 8: 0.175}[nodes]
    assert plan.predicted.latency_s < min(
        dense(small_nodes, nodes).predicted.latency_s, single_node(small_nodes).predicted.latency_s
    )
    assert all(not layer.sparsity for stage in plan.stages for layer in stage.layers)


@NODES
def test_at_half_a_point_resnet50_is_no_slower_than_by_gathered_features(
    small_nodes: Case, nodes: int
) -> None:
    profile = small_nodes.profile
    model = curve_model(load_curve("resnet50-imagenet"), profile, sparsifiable_layers(profile))
    case = replace(small_nodes, loss_model=model)
    limits = Limits(max_accuracy_drop=0.5)
    gathered = best(case, nodes, limits=limits, ways=("features",)).predicted
    plan, _ = find_plan(case, Request(nodes, limits=limits, time_limit_s=60.0))
    assert plan is not None and plan.predicted.accuracy_drop is not None
    assert gathered.latency_s == pytest.approx({2: 0.3224, 4: 0.1225, 8: 0.0794}[nodes], abs=1e-4)
    assert plan.predicted.latency_s <= gathered.latency_s * (1 + 1e-9)
    assert plan.predicted.accuracy_drop <= 0.5 * (1 + 1e-9)


def test_deit_on_four_small_nodes_needs_no_training() -> None:
    case = Case(load_model("deit-s"), load_cluster("small-nodes"))
    plan = best(case, 4)
    assert plan.predicted.latency_s <= 0.460
    # no plan computes faster than four nodes that share everything
    assert plan.predicted.latency_s > case.profile.totals.macs / 4 / SMALL_NODE_MACS_PER_S
    assert dense(case, 4).predicted.latency_s == pytest.approx(1.019, abs=1e-3)
    gathered = best(case, 4, ways=("features",)).predicted
    assert plan.predicted.latency_s < gathered.latency_s / 2


def llama_blocks(count: int = 1) -> ModelProfile:
    """The first blocks of Llama 3.1 8B at 128 tokens; their input is the hidden state."""
    whole = load_model("llama-3.1-8b")
    embedding, *rest = whole.layers
    stop = next(
        i for i, layer in enumerate(rest) if layer.name.startswith(f"model.layers.{count}.")
    )
    hidden = TensorSpec(
        name=embedding.name,
        shape=(1, 128, 4096),
        bytes=embedding.output_bytes,
        features=embedding.out_features,
        positions=128,
        samples=1,
        dtype="float16",
    )
    return ModelProfile(
        name="block",
        element_bytes=whole.element_bytes,
        inputs=(hidden,),
        outputs=(rest[stop - 1].name,),
        layers=tuple(layer.model_copy(update={"scaling": None}) for layer in rest[:stop]),
        provenance=whole.provenance,
    )


def pairs_of_columns_and_rows(profile: ModelProfile, names: Sequence[str]) -> StagePlan:
    """Megatron's: outputs of q, k, v, gate and up, parts of sums of o and down."""
    plans = []
    for layer in profile.layers:
        way, conversions = "features", ()
        if layer.op == "rms_norm":
            way = "whole"
        elif layer.name.endswith(("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")):
            way = "outputs"
        elif layer.name.endswith(("o_proj", "down_proj")):
            way = "sums"
        elif any(name.endswith(("o_proj", "down_proj")) for name in layer.inputs):
            (summed,) = (n for n in layer.inputs if n.endswith("_proj"))
            way, conversions = "whole", all_reduced(summed)
        plans.append(
            LayerPlan(name=layer.name, nodes=len(names), way=way, conversions=conversions)  # type: ignore[arg-type]
        )
    return StagePlan(nodes=tuple(names), layers=tuple(plans))


def all_reduced(name: str) -> tuple[Conversion, ...]:
    """A reduce-scatter and an all-gather."""
    return (
        Conversion(tensor=name, source="sums", target="features"),
        Conversion(tensor=name, source="features", target="whole"),
    )


@NODES
def test_a_llama_block_sends_two_all_reduces(nodes: int) -> None:
    profile = llama_blocks()
    bandwidth, speed = 1e9, 1e12
    group = cluster(nodes, macs_per_s=speed, bandwidth_bytes_per_s=bandwidth)
    case = Case(profile, group)
    stage = pairs_of_columns_and_rows(profile, case.names(nodes))
    costed = cost_stages(case, (stage,))
    (found,) = costed.stages
    hidden = 128 * 4096 * 2  # bytes of float16
    sent = found.table.sent_bytes[:, 0]
    assert sent.sum(axis=0).tolist() == [2 * 2 * (nodes - 1) * hidden // nodes] * nodes
    assert (sent.sum(axis=1) > 0).sum() == 2
    # every MAC is executed once, and all of it is shared evenly
    macs = found.table.macs[:, 0].sum(axis=0).tolist()
    assert macs == [profile.totals.macs // nodes] * nodes
    exact = 4 * (nodes - 1) / nodes * hidden / bandwidth + profile.totals.macs / nodes / speed
    assert costed.latency_s == pytest.approx(exact, rel=1e-12)
    assert best(case, nodes, exactly=True).predicted.latency_s <= exact * (1 + 1e-9)
    # where features are gathered alone, each of seven projections and two norms of a block sends
    two = Case(llama_blocks(2), group)
    gathered = cost_stages(two, dense(two, nodes).stages).stages[0].table.sent_bytes
    second = gathered[len(profile.layers) :, 0]
    assert (second.sum(axis=1) > 0).sum() == 7 + 2
    assert second.sum() > 2 * sent.sum()


def ways_of(plan: Plan) -> set[str | None]:
    """Ways of the layers with work."""
    return {layer.way for stage in plan.stages for layer in stage.layers}


def test_where_all_weights_do_not_fit_the_optimum_changes_its_way(small_nodes: Case) -> None:
    """Rows hold all weights, features a share."""
    case = replace(small_nodes, cluster=small_nodes.cluster.first(4))
    free = best(case, 4)
    by_rows = predict(case, rows_throughout(case, 4)).memory_bytes
    most = max(free.predicted.memory_bytes.values()) // 2
    assert min(by_rows.values()) > case.profile.totals.param_bytes * 9 // 10 > most
    tight = replace(case, cluster=with_nodes(case.cluster, memory_bytes=most))
    plan = best(tight, 4)
    assert max(plan.predicted.memory_bytes.values()) <= most
    assert plan.predicted.latency_s > free.predicted.latency_s
    assert plan.stages != free.stages and (ways_of(plan) - {"positions"})


def test_weights_that_all_nodes_together_do_not_hold_are_seen_at_once() -> None:
    """102 MB of weights on four nodes of 20 MB: no search is needed to say so."""
    profile = load_model("resnet50")
    group = tuned_cluster(load_cluster("small-nodes").first(4), memory_bytes=20_000_000)
    _, result = find_plan(Case(profile, group), Request(4, time_limit_s=30.0))
    assert result.certificate.status == "infeasible"
    assert result.certificate.solver == "by inspection"
    assert "memory" in result.binding


@pytest.mark.parametrize("model", ["gpt2", "swin-t"])
def test_a_view_is_no_layer_that_touches_its_bytes(model: str) -> None:
    """Of equal numbers, but one takes time where the memory bandwidth is known and one does not."""
    case = Case(load_model(model), load_cluster("a100-nvlink"))
    plan, result = find_plan(case, Request(2))
    assert plan is not None and result.certificate.status == "optimal"
