"""Layers that cost the same are costed once, and cost what they would one by one."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.case import Case
from planner.cost import layers
from planner.cost.layers import LayerCosts, layer_costs
from planner.cost.memory import stage_memory_bytes
from planner.cost.overlap import busy_s, layer_s
from planner.cost.sharing import sharing_readers
from planner.cost.sparsity import FeatureCounts, kept_features, to_each_other
from planner.cost.table import cost_of_counts, cost_table, group_shares
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import StagePlan
from planner.domain.settings import CostSettings
from planner.strategies.costed import layer_plans, predict
from profiles.catalog import load_cluster, load_model
from tests.planner.builders import chain, cluster
from tests.planner.generators import clusters, networks

LEVELS = np.array([0.0, 0.4, 0.9, 1.0])


@given(networks(), clusters(), st.booleans(), st.booleans())
def test_merged_layers_cost_what_they_cost_one_by_one(
    profile: ModelProfile, group: Cluster, share_inputs: bool, overlap: bool
) -> None:
    settings = CostSettings(share_inputs=share_inputs, overlap=overlap)
    shares = group_shares(profile, group)
    readers = sharing_readers(profile, shares, settings)
    kept = to_each_other(kept_features(shares.owned, LEVELS), (shares.outputs > 0)[:, None])
    each = np.arange(kept.shape[0] * kept.shape[1])
    apart = FeatureCounts(each.reshape(kept.shape[:2]), each, kept.reshape(-1, *kept.shape[2:]))
    costs = layer_costs(profile, group, settings, shares, apart, readers)
    by_sender = FeatureCounts.by_sender(shares, kept_features(shares.kinds.owned, LEVELS))
    for counts in (by_sender, FeatureCounts.by_pair(shares, kept)):
        assert np.array_equal(counts.kept[counts.pattern], kept)
        assert all(counts.pattern.ravel()[counts.first] == np.arange(len(counts.kept)))
        merged = layer_costs(profile, group, settings, shares, counts, readers)
        for field in fields(LayerCosts):
            assert np.array_equal(getattr(merged, field.name), getattr(costs, field.name))


@given(networks(), clusters())
def test_layers_of_a_kind_are_alike_in_every_number(profile: ModelProfile, group: Cluster) -> None:
    shares = group_shares(profile, group)
    assert np.array_equal(shares.kind[shares.first], np.arange(len(shares.first)))
    assert shares.first.tolist() == sorted(shares.first)
    for layer, kind in zip(profile.layers, shares.kind, strict=True):
        like = profile.layers[shares.first[kind]]
        names = {"name": like.name, "inputs": like.inputs, "op": like.op}
        assert layer.model_copy(update=names) == like
        assert shares.owners[layer.name] is shares.owners[like.name]


def test_a_large_language_model_has_few_kinds_of_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_model("llama-3.1-70b")
    group = load_cluster("small-nodes").first(8)
    costed: list[int] = []
    counted = layers.node_macs
    monkeypatch.setattr(
        layers, "node_macs", lambda of, *a: costed.append(len(of)) or counted(of, *a)
    )
    table = cost_table(profile, group)
    again = cost_of_counts(
        profile, group, CostSettings(), group_shares(profile, group), table.kept_features[:, 3]
    )
    assert len(profile.layers) > 3000 and max(costed) < 150
    assert np.array_equal(again.latency_s[:, 0], table.latency_s[:, 3])


def test_equal_layers_on_many_equal_nodes_are_costed_once() -> None:
    shares = group_shares(chain(*[128] * 100), cluster([1e6] * 26))
    assert len(shares.first) == 2  # the reader of the image, and the others


def test_overlap_hides_the_shorter_part() -> None:
    comm_s, compute_s, none = np.array([1.0, 5.0]), np.array([4.0, 2.0]), np.zeros(2)
    assert layer_s(comm_s, none, compute_s, overlap=False).tolist() == [5, 7]
    assert layer_s(comm_s, none, compute_s, overlap=True).tolist() == [4, 5]
    # a stage of both is busy for 6 s, not for the 9 s of its two layers
    assert busy_s(comm_s, none, compute_s, overlap=True).sum(axis=1).tolist() == [6, 6]
    assert busy_s(comm_s, none, compute_s, overlap=False).sum(axis=1).tolist() == [12]


def test_software_keeps_the_node_from_computing() -> None:
    comm_s, software_s, compute_s = np.array([1.0, 5.0]), np.array([0.5, 4.0]), np.array([4.0, 2.0])
    assert layer_s(comm_s, software_s, compute_s, overlap=True).tolist() == [4.5, 6]
    wire_s = np.array([0.25, 1.0])  # what is neither wire nor software is delay, and occupies none
    assert busy_s(wire_s, software_s, compute_s, overlap=True).tolist() == [[0.25, 1], [4.5, 6]]
    assert busy_s(wire_s, software_s, compute_s, overlap=False).tolist() == [[4.75, 7]]


@given(networks(), clusters())
def test_a_stages_memory_is_what_its_plan_says(profile: ModelProfile, group: Cluster) -> None:
    case = Case(profile, group)
    table = case.table(case.names(len(group.nodes)), (0.5,))
    choice = np.zeros(len(profile.layers), dtype=np.int64)
    stage = StagePlan(nodes=table.node_names, layers=layer_plans(table, choice))
    needed = stage_memory_bytes(table.weight_bytes[:, 0], table.live_bytes[:, 0])
    said = predict(case, (stage,)).memory_bytes
    assert said == dict(zip(table.node_names, needed.tolist(), strict=True))
