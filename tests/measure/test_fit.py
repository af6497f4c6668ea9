"""Times of known figures give the figures back; what times cannot say is refused."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from planner.domain.cluster import Node, OperatorKind
from planner.domain.layer_profile import LayerProfile
from planner.errors import BadInputError
from planner.measure.fit import Work, fit_models, fit_samples, predicted_s
from planner.measure.parts import value_of
from planner.measure.shapes import KINDS, standard_shapes
from tests.measure.made import NOW, samples_of, stack

TRUE = Node(
    name="known",
    macs_per_s=1e10,
    macs_per_s_by_kind={
        "conv-1x1": 2e10,
        "conv": 5e10,
        "depthwise": 3e9,
        "linear": 2.5e10,
        "attention": 1e10,
    },
    memory_bytes_per_s=8e9,
    memory_bytes_per_s_by_kind={"conv": 1e9, "depthwise": 1.5e9},
    layer_overhead_s=2e-5,
    layer_overhead_s_by_kind={"element-wise": 7e-6},
)


COMMON = ("macs_per_s", "layer_overhead_s")
"""Figures for all kinds, of which each has its own."""


def true_value(key: str) -> float:
    """What a figure of a kind of operators is where the kind has none of its own, too."""
    field, _, kind = key.rpartition("_by_kind.")
    if not field:
        return value_of(TRUE, key)
    of_kind = {
        "macs_per_s": TRUE.rate,
        "memory_bytes_per_s": TRUE.memory_rate,
        "layer_overhead_s": TRUE.overhead_s,
    }[field]
    value = of_kind(cast(OperatorKind, kind))
    assert value is not None
    return value


def refused(call: object, *, match: str) -> None:
    assert callable(call)
    with pytest.raises(BadInputError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_shapes_cover_every_kind_at_several_sizes() -> None:
    shapes = standard_shapes()
    assert len({str(shape) for shape in shapes}) == len(shapes)
    for kind in KINDS:
        sizes = {shape.touched_bytes for shape in shapes if shape.kind == kind}
        assert len(sizes) >= 10
        assert max(sizes) > 50 * min(sizes)
        assert all(
            (shape.macs > 0) == (kind != "element-wise") for shape in shapes if shape.kind == kind
        )


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_samples_give_their_figures_back(noise: float) -> None:
    samples = samples_of(TRUE, noise)
    found = fit_samples("known", samples, source="test", measured_at=NOW, resamplings=40)
    for figure in found.figures:
        if figure.key in COMMON:
            continue  # one figure for what has several
        value = value_of(found.node, figure.key)
        assert value == pytest.approx(true_value(figure.key), rel=0.01 + 3 * noise), figure.key
        assert figure.low is not None and figure.high is not None
        assert figure.low <= value <= figure.high
        assert (figure.origin, figure.measured_at) == ("measured", NOW)
    rates = TRUE.macs_per_s_by_kind.values()
    assert min(rates) < found.node.macs_per_s < max(rates)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held, asked = 0, 0
    for seed in range(8):
        samples = samples_of(TRUE, 0.1, seed)
        found = fit_samples("known", samples, source="test", measured_at=NOW, resamplings=60)
        for figure in found.figures:
            if figure.key not in COMMON and figure.low is not None and figure.high is not None:
                held += figure.low <= true_value(figure.key) <= figure.high
                asked += 1
                # bytes bind few operators of some kinds, whose bandwidth is then "at least so much"
                is_sure = not figure.key.startswith("memory_bytes_per_s_by_kind")
                assert figure.high < 3 * figure.low or not is_sure
    assert held >= 0.75 * asked


def test_a_few_wild_times_change_little() -> None:
    samples = samples_of(TRUE, 0.02)
    wild = [
        sample.model_copy(
            update={
                "seconds": 20 * sample.seconds,
                "high_s": 20 * sample.high_s,
                "low_s": sample.low_s,
            }
        )
        if index % 25 == 0
        else sample
        for index, sample in enumerate(samples)
    ]
    found = fit_samples("known", wild, source="test", measured_at=NOW, resamplings=5)
    for kind, rate in TRUE.macs_per_s_by_kind.items():
        assert found.node.macs_per_s_by_kind[kind] == pytest.approx(rate, rel=0.25)


def test_passes_that_differ_widen_the_intervals() -> None:
    samples = samples_of(TRUE, 0.0)
    calm, restless = (
        fit_samples(
            "known", samples, source="test", measured_at=NOW, resamplings=5, pass_factors=factors
        )
        for factors in ([1.0, 1.0, 1.0], [0.7, 1.0, 1.5])
    )
    for narrow, wide in zip(calm.figures, restless.figures, strict=True):
        assert narrow.low is not None and wide.low is not None
        assert narrow.high is not None and wide.high is not None
        assert wide.low <= narrow.low * 1.0001
        assert wide.high > narrow.high


def test_samples_that_cannot_say_a_figure_are_refused() -> None:
    samples = samples_of(TRUE, 0.0)

    def fitted(kept: object) -> object:
        assert callable(kept)
        some = [sample for sample in samples if kept(sample)]
        return lambda: fit_samples("known", some, source="test", measured_at=NOW)

    refused(fitted(lambda s: s.macs == 0), match="no operator with MACs")
    refused(fitted(lambda s: s.macs > 0), match="memory bandwidth")
    first = next(sample for sample in samples if sample.kind == "conv")
    refused(fitted(lambda s: s.kind != "conv" or s is first), match="conv: .* two sizes or more")


WIDE, DEEP, SMALL = (
    stack("wide", 4, 1024, 64),
    stack("deep", 100, 64, 16),
    stack("mid", 30, 256, 32),
)
PLAIN = Node(name="known", macs_per_s=3e9, layer_overhead_s=1e-4)


def test_two_models_give_the_rate_and_the_time_per_operator() -> None:
    times = [(model, predicted_s(model, PLAIN)) for model in (WIDE, DEEP)]
    found = fit_models("known", times, source="test")
    assert found.node.macs_per_s == pytest.approx(3e9, rel=1e-3)
    assert found.node.layer_overhead_s == pytest.approx(1e-4, rel=1e-3)
    assert found.node.memory_bytes_per_s is None
    assert [figure.low for figure in found.figures] == [None, None]  # nothing is left to tell
    assert {figure.origin for figure in found.figures} == {"derived"}


def test_more_models_give_intervals() -> None:
    random = np.random.default_rng(1)
    models = [WIDE, DEEP, SMALL, stack("two", 2, 2048, 8), stack("many", 300, 96, 8)]
    times = [
        (model, predicted_s(model, PLAIN) * float(np.exp(0.03 * random.normal())))
        for model in models
    ]
    found = fit_models("known", times, source="test")
    for figure in found.figures[:2]:
        assert figure.low is not None and figure.high is not None
        assert figure.low < value_of(PLAIN, figure.key) < figure.high
        assert figure.high < 2 * figure.low


def test_a_memory_bandwidth_is_found_where_it_shows() -> None:
    node = PLAIN.model_copy(update={"memory_bytes_per_s": 2e9, "macs_per_s": 2e10})
    models = [WIDE, DEEP, SMALL, stack("vectors", 12, 2048, 1), stack("few", 8, 1024, 2)]
    found = fit_models("known", [(m, predicted_s(m, node)) for m in models], source="test")
    assert found.node.memory_bytes_per_s == pytest.approx(2e9, rel=0.01)
    assert found.node.macs_per_s == pytest.approx(2e10, rel=0.01)


def test_one_model_is_enough_for_the_rate_alone_when_asked() -> None:
    one = [(WIDE, 0.5)]
    refused(lambda: fit_models("known", one, source="test"), match="1 model: two unknowns")
    again = [(WIDE, 0.5), (WIDE, 0.51)]
    refused(lambda: fit_models("known", again, source="test"), match="1 model: two unknowns")
    found = fit_models("known", one, source="test", only_rate=True)
    assert found.node.macs_per_s == pytest.approx(WIDE.totals.macs / 0.5)
    assert found.node.layer_overhead_s == 0
    refused(lambda: fit_models("known", [], source="test", only_rate=True), match="no times")


def test_models_that_do_not_tell_figures_apart_are_refused() -> None:
    alike = stack("alike", 8, 1024, 64)
    times = [(WIDE, 1.0), (alike, 2.0)]
    refused(
        lambda: fit_models("known", times, source="test"), match="too alike|no time per operator"
    )
    odd = [(WIDE, 1.0), (DEEP, 1e-4)]  # many small layers in no time
    refused(lambda: fit_models("known", odd, source="test"), match="no time per operator follows")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_times_are_numbers_above_0(seconds: float) -> None:
    times = [(WIDE, seconds), (DEEP, 1.0)]
    refused(lambda: fit_models("known", times, source="test"), match="wide: found .* above 0")


def test_measured_times_in_a_profile_do_not_count() -> None:
    layers = tuple(
        layer.model_copy(update={"measured_s": {"generic": 9.0}}) for layer in WIDE.layers
    )
    assert predicted_s(WIDE.model_copy(update={"layers": layers}), PLAIN) == predicted_s(
        WIDE, PLAIN
    )


def test_a_sample_costs_what_a_layer_of_its_size_costs() -> None:
    """The fit and the plans follow one rule."""
    layer: LayerProfile = WIDE.layers[0]
    shapes = [shape for shape in standard_shapes() if shape.kind == "linear"]
    (sample, *_) = samples_of(PLAIN, 0.0, shapes=shapes)
    touched = layer.param_bytes + layer.input_bytes + layer.output_bytes
    same = sample.model_copy(update={"macs": layer.macs, "touched_bytes": touched})
    node = PLAIN.model_copy(update={"memory_bytes_per_s": 1e9})
    assert Work.of_samples([same]).seconds(node)[0] == Work.of_model(WIDE).seconds(node)[0]
