"""Programs make what the slices make and send what the cost model counts, to the byte."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from planner.domain.layouts import WAYS, Way
from planner.domain.plan import Plan
from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.runtime import slice_model
from planner.runtime.compiling.programs import last_reads, program_of, programs_of
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.program import Await, Compute, Post
from planner.runtime.running.rehearsal import rehearsed
from planner.runtime.running.slices import Slices
from tests.examples import some
from tests.runtime import networks, test_families, test_ways
from tests.runtime.cases import example, random_plan, traced
from tests.runtime.way_plans import way_plan

FAMILIES = {**test_families.FAMILIES, **test_ways.FAMILIES}


@cache
def model(family: str) -> TracedModel:
    make, shape = FAMILIES[family]
    return traced(make(), *shape, dtype="int64" if family == "decoder" else None)


def sliced(subject: TracedModel, plan: Plan) -> Slices:
    return slice_model(subject, plan, select=True)


def check(subject: TracedModel, plan: Plan) -> None:
    slices, inputs = sliced(subject, plan), example(subject)
    programs = programs_of(slices)
    run = rehearsed(programs, slices.checked(inputs))
    assert run.transport.sent_bytes == slices.predicted.sent_bytes
    assert run.transport.wire_bytes == slices.predicted.wire_bytes
    expected = slices.run(*inputs).outputs
    for name, wanted in zip(slices.output_names, expected, strict=True):
        whole = slices.outputs[name].whole(run.parts(programs, name))
        torch.testing.assert_close(whole, wanted, rtol=1e-6, atol=1e-6)
    for name, program in programs.items():
        held = run.values[name]
        assert set(program.forms) == set(held)
        for key, form in program.forms.items():
            assert (form.shape, form.dtype) == (tuple(held[key].shape), held[key].dtype)
        for action in program.actions:
            if isinstance(action, Post):
                assert held[action.value].dim() == 1 and held[action.value].is_contiguous()


@pytest.mark.parametrize("family", FAMILIES)
@some(0.1)
@given(
    groups=test_ways.GROUPS,
    casting=test_ways.CASTING,
    counted=st.booleans(),
    sharing=st.booleans(),
    seed=test_ways.SEED,
)
def test_programs_agree_with_slices(
    family: str, groups: list[list[float]], casting: str, counted: bool, sharing: bool, seed: int
) -> None:
    subject, rng = model(family), np.random.default_rng(seed)
    if family in test_ways.FAMILIES:
        ends = CostSettings(count_input=counted)
        check(subject, way_plan(subject, groups, rng, casting=casting, settings=ends))
    if family in test_families.FAMILIES:
        check(subject, random_plan(subject, groups, rng, casting=casting, share_inputs=sharing))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", test_ways.FAMILIES)
def test_every_way_of_splitting(family: str, way: Way) -> None:
    subject = model(family)
    wanted = {layer.name: way for layer in subject.profile.layers}
    check(
        subject,
        way_plan(subject, [[1.0, 3.0, 2.0]], np.random.default_rng(0), wanted=wanted),
    )


def two_stages() -> Slices:
    subject = traced(networks.Residual(), 1, 3, 16, 16)
    return sliced(subject, random_plan(subject, [[1.0, 2.0], [1.0, 1.0]], np.random.default_rng(7)))


def test_one_node_is_one_segment() -> None:
    subject = traced(networks.Residual(), 1, 3, 16, 16)
    plan = random_plan(subject, [[1.0]], np.random.default_rng(0))
    (program,) = programs_of(sliced(subject, plan)).values()
    (action,) = program.actions
    assert isinstance(action, Compute)
    assert action.stretches == tuple(layer.name for layer in subject.profile.layers)
    assert (action.reads, action.makes) == (("x",), tuple(program.outputs.values()))


def test_segments_end_at_exchanges_alone() -> None:
    """No two segments in a row, a post behind the segment that makes it, an await before a read."""
    posts = awaits = 0
    for program in programs_of(two_stages()).values():
        names = [a.name for a in program.actions if isinstance(a, Compute)]
        assert len(set(names)) == len(names)
        last: Compute | None = None
        for place, action in enumerate(program.actions):
            before = program.actions[place - 1] if place else None
            if isinstance(action, Compute):
                assert not isinstance(before, Compute)
                last = action
            elif isinstance(action, Post):
                assert last is not None and action.value in last.makes
                posts += 1
            else:
                following = (a for a in program.actions[place:] if isinstance(a, Compute))
                assert action.message in next(following).reads
                awaits += 1
    assert posts == awaits > 10


def test_what_nothing_reads_any_longer_is_named_once() -> None:
    for program in programs_of(two_stages()).values():
        gone: set[str] = set()
        frees = last_reads(program)
        for place, action in enumerate(program.actions):
            if isinstance(action, Compute):
                assert not gone & {*action.reads, *action.makes}
            elif isinstance(action, Await):
                assert action.message not in gone
            else:
                assert action.value not in gone
            assert not gone & set(frees.get(place, ()))
            gone.update(frees.get(place, ()))
        touched = {name for name in program.forms if name not in program.inputs} | gone
        assert gone == touched - set(program.outputs.values())


def test_a_node_that_is_not_there() -> None:
    with pytest.raises(BadInputError, match=r"node 'n9': the slices are of n0, n1, n2, n3"):
        program_of(two_stages(), "n9")
