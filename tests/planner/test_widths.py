"""Weights and messages of any width: exact bytes, and what does not depend on them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.case import Case
from planner.cost.exchange import Links, bytes_on_wire, time_exchange, whole_on_wire
from planner.cost.handover import Transfers
from planner.cost.memory import part_of
from planner.cost.table import CostTable, cost_table, group_shares
from planner.cost.ways import work_of
from planner.domain.cluster import Cluster
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.quantise import with_weight_bits
from planner.reshape import at_input_shapes
from planner.strategies.costed import predict
from profiles.catalog import load_cluster, load_model, model_names
from tests.planner.builders import Net, best, chain, cluster
from tests.planner.generators import SPARSITIES, chains, clusters

BITS = st.sampled_from(["4.5", "8.5", "1.58", "3", "16", "6.5625", "64"]) | st.fractions(
    Fraction(1, 100), 64, max_denominator=1000
)
COLUMNS = "comm_s wire_s software_s medium_s node_comm_s".split()


def net() -> ModelProfile:
    """Kernels that mix and one that does not, biases, a norm."""
    made = Net(features=4, pixels=16)
    first = made.conv("image", 8, kernel=1, bias=True)
    second = made.depthwise(first, kernel=3)
    third = made.layer_norm(second)
    return made.profile(made.conv(third, 8, kernel=3))


def messages(bits: float | None, **fields: object) -> CostSettings:
    return CostSettings.model_validate({"message_bits": bits, **fields})


def test_thirty_two_weights_of_four_and_a_half_bits_are_eighteen_bytes() -> None:
    made = Net(features=4, pixels=16)
    profile = with_weight_bits(made.profile(made.conv("image", 8)), 4.5)
    (layer,) = profile.layers
    assert (layer.weight_params, layer.weight_bytes, layer.param_bytes) == (32, 18, 18)
    assert profile.totals.param_bytes == 18
    assert profile.weight_bits == 4.5
    table = cost_table(profile, cluster(3))
    # 3, 3 and 2 of 8 output features: 18·3/8 = 6.75 bytes, 18·2/8 = 4.5
    assert table.weight_bytes[0, 0].tolist() == [7, 7, 5]


def test_biases_and_norms_keep_their_size() -> None:
    before, after = net().layers, with_weight_bits(net(), "4.5").layers
    changed = {
        new.name: (new.param_bytes, new.weight_bytes)
        for old, new in zip(before, after, strict=True)
        if old != new
    }
    one, depthwise, norm, three = after
    assert changed == {
        one.name: (18 + 8 * 4, 18),
        depthwise.name: (ceil(72 * 4.5 / 8), 41),
        three.name: (ceil(576 * 4.5 / 8), 324),
    }
    assert norm.param_bytes == 2 * 8 * 4


@pytest.mark.parametrize("name", ["gpt2", "mobilenetv2-224", "llama-3.1-8b-decode"])
def test_what_takes_the_bits_in_known_models(name: str) -> None:
    profile = load_model(name)
    narrow = with_weight_bits(profile, 8)
    for old, new in zip(profile.layers, narrow.layers, strict=True):
        weights = old.op.startswith(("conv", "linear", "embedding")) and old.op != "concat"
        if not weights:
            assert new == old
        elif old.op == "conv" and not old.flow.mixes:  # depthwise, without a bias here
            assert new.param_bytes == old.params
        elif not old.params:  # the tied head
            assert new.param_bytes == old.param_bytes // profile.element_bytes
        else:
            biases = 0 if old.op == "embedding" else old.params - old.weight_params
            weights_now = old.params - biases
            assert new.param_bytes == weights_now + biases * profile.element_bytes


@pytest.mark.parametrize("name", [n for n in model_names() if "70b" not in n])
def test_the_width_that_a_model_has_changes_nothing(name: str) -> None:
    profile = load_model(name)
    assert with_weight_bits(profile, 8 * profile.element_bytes) is profile
    assert with_weight_bits(profile, None) is profile
    again = with_weight_bits(with_weight_bits(profile, 4.5), 8 * profile.element_bytes)
    assert again.totals == profile.totals


@given(chains(), BITS)
def test_bytes_are_rounded_up_once_a_layer(profile: ModelProfile, bits: Fraction | str) -> None:
    narrow = with_weight_bits(profile, bits)
    for old, new in zip(profile.layers, narrow.layers, strict=True):
        others = old.param_bytes - 4 * old.weight_params
        assert new.param_bytes == others + ceil(old.weight_params * Fraction(bits) / 8)
    assert ModelProfile.model_validate_json(narrow.model_dump_json()).layers == narrow.layers
    assert with_weight_bits(narrow, bits) is narrow


@given(chains(), clusters(least=2), BITS, SPARSITIES)
def test_sparse_plans_shrink_as_those_of_wide_weights_do(
    profile: ModelProfile, group: Cluster, bits: Fraction | str, sparsity: float
) -> None:
    narrow, shares = with_weight_bits(profile, bits), group_shares(profile, group)
    wide_bytes, narrow_bytes = (
        cost_table(each, group, levels=(0.0, sparsity), shares=shares).weight_bytes
        for each in (profile, narrow)
    )
    for row, (wide, thin) in enumerate(zip(profile.layers, narrow.layers, strict=True)):
        weights = 4 * wide.weight_params
        now = thin.mixing_weight_bytes
        outputs = shares.outputs[row]
        biases = -(-(wide.param_bytes - weights) * outputs // wide.out_features)
        for option in range(2):
            mine = (wide_bytes[row, option] - biases).tolist()
            exact = [Fraction(size * now, weights) for size in mine]
            found = (narrow_bytes[row, option] - biases).tolist()
            assert all(0 <= size - part < 1 for size, part in zip(found, exact, strict=True))
        assert narrow_bytes[row, 0].sum() >= thin.param_bytes
        assert narrow_bytes[row, 0].max() <= thin.param_bytes


@given(chains(), BITS, st.integers(2, 4))
def test_parts_of_sums_hold_all_weights(
    profile: ModelProfile, bits: Fraction | str, nodes: int
) -> None:
    narrow = with_weight_bits(profile, bits)
    case = Case(narrow, cluster(nodes))
    on = case.layouts(case.names(nodes))
    for row, layer in enumerate(narrow.layers):
        if not layer.weight_params:
            continue
        work = work_of(on, row, "sums", ("features",), None)
        assert work is not None
        assert layer.param_bytes <= work.weight_bytes.sum() < layer.param_bytes + nodes


@given(st.integers(0, 2**40), st.integers(1, 2**20), st.lists(st.integers(0, 2**20), min_size=1))
def test_a_part_of_a_total_is_rounded_up(total: int, whole: int, parts: list[int]) -> None:
    parts = [min(part, whole) for part in parts]
    found = part_of(np.array([total]), np.array(parts), np.array([whole]))
    assert found.tolist() == [ceil(Fraction(total * part, whole)) for part in parts]


def test_parts_of_very_wide_layers_are_exact() -> None:
    whole = 2**33 - 9  # prime, so that no divisor is shared
    total, part = 5 * 2**40 + 1, whole - 12345
    found = part_of(np.array([total]), np.array([part]), np.array([whole]))
    assert found.tolist() == [ceil(Fraction(total * part, whole))]


def test_a_model_of_seventy_billion_weights() -> None:
    profile = with_weight_bits(load_model("llama-3.1-70b-decode"), 4.5)
    table = cost_table(profile, load_cluster("small-nodes").first(3), levels=(0.0, 0.5))
    for row, layer in enumerate(profile.layers):
        if layer.weight_params:
            stored = table.weight_bytes[row, 0]
            assert layer.param_bytes <= stored.sum() < layer.param_bytes + 3, layer.name


def test_a_narrow_model_at_another_shape_keeps_its_width() -> None:
    narrow = with_weight_bits(load_model("resnet50-eighth"), 4.5)
    larger = at_input_shapes(narrow, batch=4)
    assert larger.weight_bits == 4.5
    assert larger.totals.param_bytes == narrow.totals.param_bytes
    other_way = with_weight_bits(at_input_shapes(load_model("resnet50-eighth"), batch=4), 4.5)
    assert larger.layers == other_way.layers


def test_measured_times_of_the_old_weights_are_dropped() -> None:
    profile = chain(8, 8)
    timed = profile.model_copy(
        update={
            "layers": tuple(
                layer.model_copy(update={"measured_s": {"cpu": 1.0}}) for layer in profile.layers
            )
        }
    )
    narrow = with_weight_bits(timed, 4.5)
    assert not any(layer.measured_s for layer in narrow.layers)
    assert "weights were given 4.5 bits" in narrow.provenance.note
    assert "measured times of the old weights were dropped" in narrow.provenance.note
    assert with_weight_bits(timed, 32) is timed


@pytest.mark.parametrize(
    "bits", [0, -1, 64.5, float("nan"), float("inf"), "four", "1/0", "1e9", "", "9" * 60]
)
def test_other_widths_are_refused(bits: float | str) -> None:
    with pytest.raises(
        BadInputError, match=r"weight bits: found .*; give a number above 0"
    ) as told:
        with_weight_bits(chain(8, 8), bits)
    assert "\n" not in str(told.value)


def test_a_layer_holds_no_more_bytes_of_weights_than_of_parameters() -> None:
    layer = chain(8, 8).layers[0]
    broken = LayerProfile(**{**dict(layer), "weight_bytes": layer.param_bytes + 1})
    with pytest.raises(ValueError, match="more bytes of weights"):
        broken.check({layer.inputs[0]: layer.in_features})


def test_a_profile_without_a_width_is_the_text_that_it_was() -> None:
    text = chain(8, 8).model_dump_json()
    assert "weight_bits" not in text
    assert "weight_bytes" not in text


def table_of(profile: ModelProfile, group: Cluster, settings: CostSettings) -> CostTable:
    return cost_table(profile, group, settings, levels=(0.0, 0.5))


@given(chains(), clusters(least=2))
def test_messages_of_half_the_width_take_half_the_time_on_the_wire(
    profile: ModelProfile, group: Cluster
) -> None:
    whole, half = (table_of(profile, group, messages(bits)) for bits in (None, 16))
    assert np.array_equal(half.wire_s, whole.wire_s / 2)
    assert np.array_equal(half.medium_s, whole.medium_s / 2)
    delay_s = whole.comm_s - whole.wire_s
    assert half.comm_s - half.wire_s == pytest.approx(delay_s, abs=1e-12, rel=1e-9)
    for same in ("macs", "weight_bytes", "live_bytes", "received_bytes", "compute_s"):
        assert np.array_equal(getattr(half, same), getattr(whole, same)), same
    assert np.array_equal(half.sent_bytes, -(-whole.sent_bytes // 2))


@given(chains(), clusters())
def test_messages_as_wide_as_computed_change_nothing(profile: ModelProfile, group: Cluster) -> None:
    usual, same = (table_of(profile, group, messages(bits)) for bits in (None, 32))
    for name in (*COLUMNS, "sent_bytes", "latency_s"):
        assert np.array_equal(getattr(usual, name), getattr(same, name)), name


@pytest.mark.parametrize("collective", ["direct", "in-series", "ring", "tree", "star", "best"])
@pytest.mark.parametrize("bits", [3.3, 8, 4.5, 64])
def test_an_exchange_takes_as_long_as_one_of_so_many_bytes(collective: str, bits: float) -> None:
    group = cluster(3)
    links = Links.of(group, messages(bits, collective=collective), element_bytes=4)
    plain = replace(links, size_on_wire=Fraction(1))
    sent = 1000 * (1 - np.eye(3, dtype=np.int64))
    found = time_exchange(sent, 2 * sent, links, 3 * sent)
    scaled = sent * (bits / 32)
    expected = time_exchange(scaled, 2 * scaled, plain, 3 * scaled)  # type: ignore[type-var]
    for name, seconds in vars(found).items():
        assert seconds == pytest.approx(vars(expected)[name], rel=1e-12), name
    assert links.as_computed == plain or links.as_computed.size_on_wire == 1


def test_bytes_on_the_wire_are_rounded_up_a_node() -> None:
    links = Links.of(cluster(2), messages(4.5), element_bytes=4)
    sent, _ = bytes_on_wire(np.array([[0, 12], [64, 0]]), np.zeros((2, 2), np.int64), "unicast")
    assert whole_on_wire(sent, links).tolist() == [2, 9]  # 12·4.5/32 = 1.6875, 64·4.5/32 = 9
    assert whole_on_wire(sent.astype(np.float64), links).tolist() == [1.6875, 9.0]


def seconds_of(transfers: Transfers) -> list[float]:
    return [float(np.sum(transfers.seconds)), float(np.sum(transfers.busy_s))]


@pytest.mark.parametrize("bits", [8, 4.5, 16])
def test_handovers_shrink_and_inputs_keep_their_size(bits: float) -> None:
    profile, group = chain(8, 12, 16, 4), cluster(4)
    counted = {"count_input": True, "count_output": True}
    whole, narrow = (Case(profile, group, messages(b, **counted)) for b in (None, bits))
    first, second = whole.names(2), tuple(node.name for node in group.nodes[2:])
    share = bits / 32
    for pair in ((first, second), ((first[0],), (second[0],))):
        before, after = (case.transfers([pair]) for case in (whole, narrow))
        assert after.busy_s == pytest.approx(before.busy_s * share, rel=1e-12)
        assert after.seconds - after.busy_s == pytest.approx(before.seconds - before.busy_s)
    (input_before, output_before), (input_after, output_after) = (
        case.ends(second) for case in (whole, narrow)
    )
    assert seconds_of(input_after) == seconds_of(input_before)
    assert output_after.busy_s == pytest.approx(output_before.busy_s * share, rel=1e-12)


def test_an_input_that_goes_on_keeps_its_size() -> None:
    made = Net(features=4, pixels=16)
    first = made.conv("image", 4)
    second = made.conv(first, 4)
    profile = made.profile(made.add(made.conv(second, 4), made.conv("image", 4)))
    group = cluster(2)
    pair = (group.nodes[0].name,), (group.nodes[1].name,)
    whole, narrow = (
        Case(profile, group, messages(b, count_input=True)).transfers([pair]).busy_s[0]
        for b in (None, 8)
    )
    rate = group.link.bandwidth_bytes_per_s
    # a tensor of 256 bytes and the input, as large
    assert whole[0] == pytest.approx(512 / rate)
    assert narrow[0] == pytest.approx((64 + 256) / rate)


@given(chains(), clusters(least=2, most=3))
def test_a_plan_of_narrow_messages_is_costed_as_it_was_made(
    profile: ModelProfile, group: Cluster
) -> None:
    usual, narrow = (Case(profile, group, messages(bits)) for bits in (None, 8))
    plan = best(narrow)
    assert plan.settings.message_bits == 8
    again = predict(Case(profile, plan.cluster, plan.settings), plan.stages)
    assert again.latency_s == pytest.approx(plan.predicted.latency_s, rel=1e-9)
    assert plan.predicted.latency_s <= best(usual).predicted.latency_s * (1 + 1e-9)


@pytest.mark.parametrize("bits", [0, -1, 65, float("nan"), float("inf")])
def test_messages_of_other_widths_are_refused(bits: float) -> None:
    with pytest.raises(ValidationError):
        messages(bits)
