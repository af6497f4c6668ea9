"""Products of every form, and work that no layer of its own stands for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from planner.domain.model_profile import ModelProfile
from profiles.from_torch.products import cheapest_pairs
from tests.profiles.test_torch_frontend import Apply, parameter, profiled


def applied(
    function: Callable[..., Any], *shapes: tuple[int, ...], **parts: nn.Parameter
) -> ModelProfile:
    return profiled(lambda: Apply(function, **parts), *shapes)


def test_products_of_tables_alone_are_work_of_loading() -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        return x * (module.rates[:, None] @ torch.arange(5.0, device=x.device)[None])

    def build() -> Apply:
        module = Apply(forward)
        module.register_buffer("rates", torch.zeros(4))
        return module

    profile = profiled(build, (4, 5))
    assert profile.totals.macs == 0
    assert "20 MACs of 1 products of constants without trained weights" in profile.provenance.note


def test_unknown_work_on_weights_alone_is_told() -> None:
    profile = applied(lambda m, x: x + torch.linalg.inv(m.a), (4, 4), a=parameter(4, 4))
    assert "of operators on weights alone aten.linalg_inv are not known" in profile.provenance.note


def test_results_that_nobody_reads_are_left_out() -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        unread = module.first(x)
        unread.relu_()
        kept: Tensor = module.second(x)
        kept[:2].add_(1)
        return kept

    profile = profiled(
        lambda: Apply(forward, first=nn.Linear(4, 8), second=nn.Linear(4, 5)), (3, 4)
    )
    assert (profile.totals.macs, profile.totals.params) == (3 * 4 * 5, 25)
    assert "96 MACs of 1 products whose results nobody reads are left out (first)" in (
        profile.provenance.note
    )
    assert "write" in {layer.op for layer in profile.layers}, "a view's memory is read"


@pytest.mark.parametrize(
    ("forward", "shape", "weights", "macs"),
    [
        (lambda m, x: torch.linalg.multi_dot([x, m.a, m.b]), (10, 100), [(100, 5), (5, 50)], 7500),
        (lambda m, x: torch.chain_matmul(m.a, x, m.b), (5, 100), [(40, 5), (100, 2)], 1400),
        (lambda m, x: torch.linalg.multi_dot([m.a, x, m.b]), (8, 9), [(8,), (9,)], 80),
        (lambda m, x: torch.tensordot(x, m.a, dims=([1, 2], [0, 1])), (3, 4, 5), [(4, 5, 6)], 360),
        (lambda m, x: torch.outer(x[0], x[1]), (2, 7), [], 49),
        (lambda m, x: torch.addr(m.a, x[0], x[1]), (2, 7), [(7, 7)], 49),
        (lambda m, x: torch.inner(x, m.a), (3, 4, 5), [(6, 5)], 360),
        (lambda m, x: torch.addbmm(m.a, x, x), (3, 5, 5), [(5, 5)], 375),
        (lambda m, x: functional.bilinear(x, x, m.a, m.b), (3, 4), [(6, 4, 4), (6,)], 360),
        (lambda m, x: torch.cdist(x, m.a), (2, 3, 4), [(5, 4)], 2 * 3 * 5 * 4),
        (lambda m, x: torch.linalg.vecdot(x, m.a), (3, 4), [(3, 4)], 12),
        (lambda m, x: torch._int_mm(x.char(), m.a.char()), (32, 16), [(16, 8)], 4096),
        (lambda m, x: torch.fft.rfft(x), (3, 64), [], 3 * 64 * 6),
        (lambda m, x: torch.fft.ifft2(x).real, (2, 16, 16), [], 2 * 256 * 8),
        (lambda m, x: torch.fft.irfft(x, n=64), (3, 33), [], 3 * 64 * 6),
        (lambda m, x: x + m.a.type_as(x), (3, 4), [(4,)], 0),
        (lambda m, x: torch.histc(x, bins=4, min=0, max=1), (3, 4), [], 0),
    ],
)
def test_products_of_every_form(
    forward: Callable[..., Tensor],
    shape: tuple[int, ...],
    weights: list[tuple[int, ...]],
    macs: int,
) -> None:
    named = dict(zip("ab", (parameter(*sizes) for sizes in weights), strict=False))
    profile = applied(forward, shape, **named)
    assert profile.totals.macs == macs
    assert profile.totals.params == sum(weight.numel() for weight in named.values())
    assert profile.coverage.uncounted == {}


@given(st.lists(st.integers(1, 9), min_size=3, max_size=6))
def test_a_chain_is_multiplied_in_the_cheapest_order(sizes: list[int]) -> None:
    def cheapest(first: int, last: int) -> int:
        if first == last:
            return 0
        return min(
            cheapest(first, cut)
            + cheapest(cut + 1, last)
            + sizes[first] * sizes[cut + 1] * sizes[last + 1]
            for cut in range(first, last)
        )

    shapes = list(itertools.pairwise(sizes))
    macs = 0
    for first, second in cheapest_pairs(sizes):
        (rows, inner), (_, columns) = shapes[first], shapes[second]
        macs += rows * inner * columns
        shapes[first : second + 1] = [(rows, columns)]
    assert len(shapes) == 1
    assert macs == cheapest(0, len(sizes) - 2)


def test_short_transforms_of_windows() -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        return torch.stft(x, 64, 16, window=module.window, return_complex=True).abs()

    profile = applied(forward, (2, 1024), window=parameter(64))
    assert profile.totals.macs == 2 * (1024 // 16 + 1) * 64 * 6
    assert "assumed: stft counted as n·log2 n" in profile.provenance.note


def test_experts_are_one_layer_with_all_their_weights() -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        ends = torch.arange(4, 17, 4, dtype=torch.int32, device=x.device)
        return torch._grouped_mm(x, module.experts, ends)

    profile = profiled(
        lambda: Apply(forward, experts=parameter(4, 8, 16)).to(torch.bfloat16), (16, 8)
    )
    (layer,) = profile.layers
    assert (layer.op, layer.feature_flow) == ("linear", "mixing")
    assert (layer.macs, layer.params, layer.weight_params) == (16 * 8 * 16, 512, 512)


def test_the_branch_with_more_work_is_assumed() -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        return torch.cond(  # type: ignore[no-any-return]
            x.sum() > 0, lambda y: y @ module.a @ module.b, lambda y: y @ module.c, (x,)
        )

    weights = {"a": parameter(4, 5), "b": parameter(5, 6), "c": parameter(4, 6)}
    profile = applied(forward, (3, 4), **weights)
    assert profile.totals.macs == 3 * (20 + 30)
    assert "assumed: of cond, the branch with more work runs" in profile.provenance.note


def test_a_vmap_works_on_every_example() -> None:
    def forward(module: Apply, x: Tensor) -> Tensor:
        return torch.vmap(lambda row: row @ module.a)(x)

    assert applied(forward, (3, 4), a=parameter(4, 5)).totals.macs == 3 * 4 * 5


def test_what_is_empty_takes_no_part() -> None:
    profile = applied(lambda _, x: torch.cat([x, x[:, 4:]], 1) * 2, (3, 4))
    assert [layer.op for layer in profile.layers] == ["identity", "mul"]
