"""Compiled segments compute what the slices compute; what is folded is what may be."""

from __future__ import annotations

import shutil
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from planner.domain.settings import CostSettings
from planner.errors import BadInputError
from planner.runtime import slice_model
from planner.runtime.compiling.compiled import compiled, graph_of, pool_channels_last
from planner.runtime.compiling.programs import programs_of
from planner.runtime.compiling.tracing import aten
from planner.runtime.compiling.tracing import traced as graph_traced
from planner.runtime.reading.traced import TracedModel
from planner.runtime.running.program import Compute, Form, Program
from planner.runtime.running.rehearsal import rehearsed
from planner.runtime.running.slices import Slices
from tests.runtime import test_ways
from tests.runtime.cases import example, random_plan, traced
from tests.runtime.way_plans import way_plan


@cache
def drawn(family: str) -> tuple[Slices, dict[str, torch.Tensor]]:
    subject = test_ways.model(family)
    plan = way_plan(
        subject,
        [[1.0, 2.0], [1.0]],
        np.random.default_rng(5),
        settings=CostSettings(count_input=True),
    )
    slices = slice_model(subject, plan, select=True)
    return slices, slices.checked(example(subject))


def check(slices: Slices, programs: dict[str, Program], inputs: dict[str, torch.Tensor]) -> None:
    """Twice: what is in place must not reach the inputs, nor what another node holds."""
    for _ in range(2):
        before = {name: value.clone() for name, value in inputs.items()}
        run = rehearsed(programs, inputs)
        for name, value in before.items():
            torch.testing.assert_close(inputs[name], value, rtol=0, atol=0)
        assert run.transport.sent_bytes == slices.predicted.sent_bytes
        expected = slices.run(*inputs.values()).outputs
        for name, wanted in zip(slices.output_names, expected, strict=True):
            whole = slices.outputs[name].whole(run.parts(programs, name))
            torch.testing.assert_close(whole, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", test_ways.FAMILIES)
def test_compiled_programs_agree_with_slices(family: str) -> None:
    slices, inputs = drawn(family)
    check(slices, {n: compiled(p) for n, p in programs_of(slices).items()}, inputs)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_torch_compile_agrees_too() -> None:
    subject = traced(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), 1, 3, 6, 6)
    plan = random_plan(subject, [[1.0, 1.0]], np.random.default_rng(0))
    slices = slice_model(subject, plan, select=True)
    programs = {n: compiled(p, inductor=True) for n, p in programs_of(slices).items()}
    check(slices, programs, slices.checked(example(subject)))


def one_segment(module: nn.Module, *shape: int) -> tuple[TracedModel, Program, Compute]:
    subject = traced(module, *shape)
    plan = random_plan(subject, [[1.0]], np.random.default_rng(0))
    (program,) = programs_of(slice_model(subject, plan, select=True)).values()
    (segment,) = program.actions
    assert isinstance(segment, Compute)
    return subject, program, segment


def left(module: nn.Module, *shape: int) -> int:
    """Batch norms that are left of a module on one node, which must compute the same."""
    subject, program, segment = one_segment(module, *shape)
    graph = graph_of(segment, program.forms)
    (x,) = example(subject)
    (found,) = graph(x)
    expected = subject.module(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    (again,) = segment.module(x)  # the slices' own weights are as they were
    torch.testing.assert_close(again, expected, rtol=1e-5, atol=1e-5)
    return sum(node.target is aten.batch_norm.default for node in graph.graph.nodes)


class TwoReaders(nn.Module):
    """What feeds the batch norm is read once more."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.norm(y) + y


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6)), (2, 4, 5, 5), 0),
        (nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False)), (2, 4, 5, 5), 0),
        (nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8)), (2, 4, 5, 5), 0),
        (nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6)), (2, 4, 5), 0),
        (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)), (3, 4), 0),
        (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(5)), (3, 5, 4), 1),  # another dimension
        (nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.BatchNorm2d(6)), (2, 4, 5, 5), 1),
        (TwoReaders(), (2, 3, 5, 5), 1),
    ],
)
def test_batch_norm_is_folded_where_nothing_else_reads_what_feeds_it(
    module: nn.Module, shape: tuple[int, ...], expected: int
) -> None:
    assert left(module, *shape) == expected


def test_sums_and_products_are_written_over_either_of_their_arguments() -> None:
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            z = y.sigmoid()
            return (z + 2.0) * (z + self.other(x)) * 0.5 + y

    subject, program, _ = one_segment(Sums(), 1, 3, 5, 5)
    (action,) = compiled(program).actions
    assert isinstance(action, Compute)
    (x,) = example(subject)
    torch.testing.assert_close(action.module(x)[0], subject.module(x), rtol=1e-5, atol=1e-5)
    assert isinstance(action.module, torch.fx.GraphModule)
    targets = [node.target for node in action.module.graph.nodes]
    assert {aten.add_.Tensor, aten.mul_.Tensor} <= set(targets)


def test_what_another_reads_is_not_written_over() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(torch.relu(x))
            return torch.relu(y) + y.reshape(1, 4, 25).flip(2).reshape(1, 4, 5, 5)

    subject, program, _ = one_segment(Both(), 1, 3, 5, 5)
    (action,) = compiled(program).actions
    assert isinstance(action, Compute)
    (x,) = example(subject)
    before = x.clone()
    torch.testing.assert_close(action.module(x)[0], subject.module(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x, before, rtol=0, atol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("back", [False, True])
def test_a_maximum_over_windows_is_taken_with_features_side_by_side(
    layout: torch.memory_format, *, back: bool
) -> None:
    """So that torch compares several at once; the values are the same, to the bit."""
    pool = nn.MaxPool2d(3, 2, 1)
    graph = graph_traced(pool, [Form((1, 8, 16, 16), torch.float32)])
    pool_channels_last(graph, back=back)
    x = torch.randn(1, 8, 16, 16).to(memory_format=layout)
    made = graph(x)
    torch.testing.assert_close(made, pool(x), rtol=0, atol=0)
    expected = torch.contiguous_format if back else torch.channels_last
    assert made.is_contiguous(memory_format=expected)


def test_what_torch_compile_lacks_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler there is advice, and no traceback; nothing of a cache is taken."""
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "no-such-compiler"))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    _, program, _ = one_segment(nn.Sequential(nn.Conv2d(3, 5, 3), nn.GELU()), 1, 3, 7, 9)
    with pytest.raises(BadInputError, match=r"^torch\.compile: .*--engine torch") as caught:
        compiled(program, inductor=True)
    assert "\n" not in str(caught.value)
