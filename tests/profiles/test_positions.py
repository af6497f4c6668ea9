"""Windows of every layer, held against what its output changes with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.profiles.positions_oracle import Network


class Apply(nn.Module):
    """A function of activations, with modules of its own."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *inputs: Tensor) -> Tensor:
        found: Tensor = self.function(self, *inputs)
        return found


def check(module: nn.Module, *inputs: Tensor, exact: bool = False) -> Network:
    """No layer reads more than it says; ``exact``: and none less."""
    network = Network(module, *inputs)
    count = 0
    for axis in ("positions", "samples"):
        for reading in network.readings(axis):
            count += 1
            geometry = getattr(reading.layer, axis)
            if geometry.statistics_bytes:
                continue  # what nodes tell each other depends on everything
            where = (axis, reading.layer.name, reading.source)
            assert not (reading.seen & ~reading.said).any(), where
            if exact:
                assert np.array_equal(reading.seen, reading.said), where
    assert count
    return network


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


CONVOLUTIONS = [
    (kernel, stride, padding, dilation)
    for kernel, stride, padding, dilation in itertools.product(
        (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2)
    )
    if padding <= dilation * (kernel - 1)
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), CONVOLUTIONS)
def test_convolutions(kernel: int, stride: int, padding: int, dilation: int) -> None:
    net = nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups=1 + stride % 2)
    check(net, image(2, 4, 13, 9), exact=dilation == 1)


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), CONVOLUTIONS)
def test_transposed_convolutions(kernel: int, stride: int, padding: int, dilation: int) -> None:
    for more in {0, max(stride, dilation) - 1}:
        net = nn.ConvTranspose2d(
            4, 4, kernel, stride, padding, more, 1 + stride % 2, dilation=dilation
        )
        check(net, image(2, 4, 7, 6), exact=dilation == 1 and kernel >= stride)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_same_padding(kernel: int, dilation: int) -> None:
    net = nn.Conv2d(4, 4, kernel, padding="same", dilation=dilation)
    check(net, image(2, 4, 9, 7), exact=dilation == 1)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)]
)
def test_poolings(kernel: int, stride: int, padding: int, ceil: bool) -> None:
    x = image(2, 4, 11, 8)
    check(nn.AvgPool2d(kernel, stride, padding, ceil), x, exact=True)
    check(nn.MaxPool2d(kernel, stride, padding, 1, ceil_mode=ceil), x, exact=True)
    check(nn.MaxPool2d(kernel, stride, padding, 2, ceil_mode=ceil), x)
    check(nn.AvgPool1d(kernel, stride, padding, ceil), image(2, 4, 11), exact=True)


@pytest.mark.parametrize("size", [2, 3, 5, 7, 11, 13])
def test_adaptive_poolings(size: int) -> None:
    check(nn.AdaptiveAvgPool2d(size), image(2, 4, 11, 8), exact=True)
    check(nn.AdaptiveMaxPool2d(size), image(2, 4, 11, 8), exact=True)


RESIZES: list[dict[str, Any]] = [
    {
        "mode": mode,
        **how,
        **({"align_corners": corners} if "linear" in mode or "cubic" in mode else {}),
    }
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic")
    for how in (
        {"scale_factor": 2.0},
        {"scale_factor": 3.0},
        {"scale_factor": 0.5},
        {"scale_factor": 1.5},
        {"scale_factor": 7.0},
        {"scale_factor": 1.3},
        {"size": (17, 5)},
        {"size": (10, 10)},
        {"size": (33, 3)},
        {"size": (21, 8), "recompute": True},
    )
    for corners in (False, True)
    if corners is False or "linear" in mode or "cubic" in mode
]


@pytest.mark.parametrize("how", RESIZES, ids=str)
def test_resizings(how: dict[str, Any]) -> None:
    options = {name: value for name, value in how.items() if name != "recompute"}
    net = Apply(lambda _, x: functional.interpolate(x, **options))
    network = check(net, image(2, 3, 10, 6))
    geometry = network.traced.profile.layers[0].positions
    assert geometry is not None
    if how.get("scale_factor") != 1.3:
        assert geometry.reads[0] is not None
    for reading in network.readings("positions"):  # at most two entries wider than needed
        assert (reading.said.sum(1) - reading.seen.sum(1)).max() <= 4 or 1.3 in how.values()


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("amounts", [(0, 0, 2, 1), (1, 2, 0, 3), (1, 1, 1, 1)])
def test_paddings(mode: str, amounts: tuple[int, ...]) -> None:
    net = Apply(lambda _, x: functional.pad(x, amounts, mode=mode))
    check(net, image(2, 3, 7, 6), exact=mode == "constant")


def test_cropping_by_negative_padding() -> None:
    check(Apply(lambda _, x: functional.pad(x, (0, 1, -2, -1))), image(2, 3, 7, 6), exact=True)


MOVES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "slice": (lambda _, x: x[:, :, 2:7], (image(2, 3, 9, 4),)),
    "step": (lambda _, x: x[:, :, 1::2] + 1, (image(2, 3, 9, 4),)),
    "both": (lambda _, x: x[:, :, 1:8:3, ::2] * 2, (image(2, 3, 9, 4),)),
    "negative": (lambda _, x: x[:, :, -4:-1], (image(2, 3, 9, 4),)),
    "select": (lambda _, x: x[:, 1], (image(2, 3, 9, 4),)),
    "narrow": (lambda _, x: x.narrow(2, 3, 4), (image(2, 3, 9, 4),)),
    "split": (lambda _, x: torch.cat(list(x.split([2, 3, 4], 2))[::-1], 2), (image(2, 3, 9, 4),)),
    "concat": (lambda _, x, y: torch.cat([x, y, x], 2), (image(2, 3, 5, 4), image(2, 3, 2, 4))),
    "concat features": (lambda _, x, y: torch.cat([x, y], 1), (image(2, 3, 5, 4),) * 2),
    "stack": (lambda _, x, y: torch.stack([x, y], 2), (image(2, 5, 6),) * 2),
    "roll": (lambda _, x: x.roll(3, 2), (image(2, 3, 7, 4),)),
    "roll back": (lambda _, x: x.roll((-2, 1), (2, 3)), (image(2, 3, 7, 4),)),
    "roll far": (lambda _, x: x.roll(16, 2), (image(2, 3, 7, 4),)),
    "roll all": (lambda _, x: x.roll(3), (image(2, 3, 7, 4),)),
    "flip": (lambda _, x: x.flip(2), (image(2, 3, 7, 4),)),
    "turned": (lambda _, x: x.transpose(2, 3).relu(), (image(2, 3, 7, 4),)),
    "rows to tokens": (lambda _, x: x.flatten(2).transpose(1, 2), (image(2, 3, 7, 4),)),
    "tokens to rows": (
        lambda _, x: x.transpose(1, 2).reshape(2, 3, 7, 4) * 2,
        (image(2, 28, 3),),
    ),
    "batch joined": (lambda _, x: x.flatten(0, 1).relu().view(2, 5, 6), (image(2, 5, 6),)),
    "pixel shuffle": (lambda _, x: functional.pixel_shuffle(x, 2), (image(2, 8, 5, 3),)),
    "pixel unshuffle": (lambda _, x: functional.pixel_unshuffle(x, 2), (image(2, 2, 6, 4),)),
    "channel shuffle": (lambda _, x: functional.channel_shuffle(x, 2), (image(2, 8, 5, 3),)),
    "expand": (lambda _, x: x[:, :, :1].expand(-1, -1, 6, -1) * x, (image(2, 3, 6, 4),)),
    "broadcast": (lambda _, x, y: x + y, (image(2, 3, 6, 4), image(6, 1))),
    "repeat": (lambda _, x: x.repeat(1, 1, 2, 1), (image(2, 3, 6, 4),)),
    "interleave": (lambda _, x: x.repeat_interleave(2, 2), (image(2, 3, 6, 4),)),
    "tril": (lambda _, x: x.tril(), (image(2, 3, 6, 6),)),
    "cumsum": (lambda _, x: x.cumsum(2) + x, (image(2, 3, 6, 4),)),
    "sort": (lambda _, x: x.sort(2)[0] + x, (image(2, 3, 6, 4),)),
    "index": (lambda _, x: x[:, :, [3, 1, 0]], (image(2, 3, 6, 4),)),
    "softmax over rows": (lambda _, x: x.softmax(2) + x, (image(2, 3, 6, 4),)),
    "softmax over features": (lambda _, x: x.softmax(1), (image(2, 3, 6, 4),)),
    "normalised rows": (lambda _, x: functional.normalize(x, dim=2) + x, (image(2, 3, 6, 4),)),
    "row means": (lambda _, x: x - x.mean((2, 3), keepdim=True), (image(2, 3, 6, 4),)),
    "column means": (lambda _, x: x.mean(3) * x.amax(3), (image(2, 3, 6, 4),)),
    "batch means": (lambda _, x: x - x.mean(0, keepdim=True), (image(2, 3, 6, 4),)),
    "scores": (lambda _, q, k: (q @ k.transpose(-1, -2)).softmax(-1), (image(2, 3, 6, 4),) * 2),
    "weighted": (lambda _, p, v: p.softmax(-1) @ v, (image(2, 3, 6, 5), image(2, 3, 5, 4))),
    "einsum": (
        lambda _, q, k: torch.einsum("bthd,bshd->bhts", q, k).softmax(-1),
        (image(2, 6, 3, 4), image(2, 5, 3, 4)),
    ),
    "outer product": (lambda _, x, y: x.transpose(1, 2) @ y, (image(2, 5, 6), image(2, 5, 4))),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves_and_products(name: str) -> None:
    function, inputs = MOVES[name]
    check(Apply(function), *inputs)


class Attention(nn.Module):
    """As transformers have it; with fewer key heads, a mask and rotated halves on demand."""

    def __init__(
        self, heads: int, keys: int, *, causal: bool = False, rotated: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.keys, self.causal, self.rotated = heads, keys, causal, rotated
        self.q, self.out = nn.Linear(12, 12), nn.Linear(12, 12)
        self.k, self.v = (nn.Linear(12, 12 // heads * keys) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape

        def split(y: Tensor, heads: int) -> Tensor:
            return y.view(n, t, heads, c // self.heads).transpose(1, 2)

        q, k, v = (
            split(self.q(x), self.heads),
            split(self.k(x), self.keys),
            split(self.v(x), self.keys),
        )
        if self.rotated:
            q = torch.cat([-q[..., q.shape[-1] // 2 :], q[..., : q.shape[-1] // 2]], -1)
        k, v = (y.repeat_interleave(self.heads // self.keys, 1) for y in (k, v))
        found = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        made: Tensor = self.out(found.transpose(1, 2).reshape(n, t, c))
        return made


class Windows(nn.Module):
    """Swin: windows of a map, shifted, attention in each, and back."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift, self.norm, self.attention = shift, nn.LayerNorm(12), Attention(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        y = self.norm(x)
        if self.shift:
            y = y.roll((-self.shift, -self.shift), (1, 2))
        y = y.view(n, h // 3, 3, w // 3, 3, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 9, c)
        y = self.attention(y).view(n, h // 3, w // 3, 3, 3, c)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        if self.shift:
            y = y.roll((self.shift, self.shift), (1, 2))
        return x + y


class Vit(nn.Module):
    """Patches, a class token, a block, the class."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, 12, 4, 4), nn.Linear(12, 5)
        self.token, self.place = (
            nn.Parameter(torch.ones(1, 1, 12)),
            nn.Parameter(torch.ones(1, 13, 12)),
        )
        self.norm, self.attention = nn.LayerNorm(12), Attention(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(len(x), -1, -1), y], 1) + self.place
        y = y + self.attention(self.norm(y))
        found: Tensor = self.head(self.norm(y)[:, 0])
        return found


class Squeeze(nn.Module):
    """Squeeze and excite."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(4, 6, 3, padding=1), nn.AdaptiveAvgPool2d(1)
        self.down, self.up = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        found: Tensor = y * self.up(self.down(self.pool(y)).relu()).sigmoid()
        return found


class Llama(nn.Module):
    """Tokens, a causal block with fewer key heads, a gated layer, words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(7, 12), nn.RMSNorm(12)
        self.attention = Attention(6, 2, causal=True, rotated=True)
        self.gate, self.up, self.down = nn.Linear(12, 16), nn.Linear(12, 16), nn.Linear(16, 12)
        self.head = nn.Linear(12, 7)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        x = x + self.attention(self.norm(x))
        y = self.norm(x)
        found: Tensor = self.head(x + self.down(functional.silu(self.gate(y)) * self.up(y)))
        return found


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "attention": (lambda: Attention(3, 3), (image(2, 7, 12),)),
    "few key heads": (lambda: Attention(6, 2, causal=True), (image(2, 7, 12),)),
    "one head": (lambda: Attention(1, 1), (image(2, 7, 12),)),
    "windows": (lambda: Windows(0), (image(2, 6, 9, 12),)),
    "shifted windows": (lambda: Windows(1), (image(2, 6, 9, 12),)),
    "shifted windows of one": (lambda: Windows(2), (image(1, 9, 6, 12),)),
    "vision transformer": (Vit, (image(2, 3, 16, 12),)),
    "squeeze": (Squeeze, (image(2, 4, 6, 5),)),
    "llama": (Llama, (torch.randint(0, 7, (2, 9)),)),
    "layer norm over maps": (lambda: nn.LayerNorm((4, 6, 5)), (image(2, 4, 6, 5),)),
    "instance norm": (lambda: nn.InstanceNorm2d(4), (image(2, 4, 6, 5),)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (image(2, 4, 6, 5),)),
    "batch norm": (lambda: nn.BatchNorm2d(4), (image(2, 4, 6, 5),)),
    "lstm": (
        lambda: Apply(lambda m, x: m.net(x)[0], net=nn.LSTM(4, 6, batch_first=True)),
        (image(2, 5, 4),),
    ),
    "lstm, time first": (
        lambda: Apply(lambda m, x: m.net(x)[0], net=nn.LSTM(4, 6)),
        (image(5, 3, 4),),
    ),
    "gru, both ways": (
        lambda: Apply(
            lambda m, x: m.net(x)[0], net=nn.GRU(4, 6, bidirectional=True, batch_first=True)
        ),
        (image(2, 5, 4),),
    ),
    "cell": (lambda: nn.GRUCell(4, 6), (image(3, 4), image(3, 6))),
    "mixer": (
        lambda: Apply(
            lambda m, x: x + m.net(x.transpose(1, 2)).transpose(1, 2), net=nn.Linear(6, 6)
        ),
        (image(2, 6, 4),),
    ),
    "signal": (
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3, 2), nn.ReLU(), nn.Conv1d(4, 4, 2)),
        (image(2, 3, 12),),
    ),
    "volume": (
        lambda: nn.Sequential(nn.Conv3d(2, 3, 3, 2, 1), nn.MaxPool3d(2)),
        (image(2, 2, 9, 6, 6),),
    ),
    "multi-head attention": (
        lambda: Apply(
            lambda m, x: m.net(x, x, x)[0], net=nn.MultiheadAttention(12, 3, batch_first=True)
        ),
        (image(2, 7, 12),),
    ),
    "attention, time first": (
        lambda: Apply(lambda m, x: m.net(x, x, x)[0], net=nn.MultiheadAttention(12, 3)),
        (image(7, 2, 12),),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    make, inputs = NETWORKS[name]
    check(make(), *inputs)


ADDING: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "mean": (lambda x: x.mean((2, 3)), True),
    "sum": (lambda x: x.sum(2), True),
    "adaptive": (lambda x: functional.adaptive_avg_pool2d(x, 1), True),
    "pooling of all": (lambda x: functional.avg_pool2d(x, (6, 4)), True),
    "pooling of most": (lambda x: functional.avg_pool2d(x, (4, 2), 3), True),
    "pooling of some": (lambda x: functional.avg_pool2d(x, 2), False),
    "maximum": (lambda x: x.amax((2, 3)), False),
    "pooled maximum": (lambda x: functional.adaptive_max_pool2d(x, 1), False),
    "variance": (lambda x: x.var((2, 3)), False),
    "beside rows": (lambda x: x.mean(3), False),
}


@pytest.mark.parametrize("name", ADDING)
def test_what_adds_up_over_positions(name: str) -> None:
    function, adds = ADDING[name]
    network = Network(Apply(lambda _, x: function(x)), x := image(2, 3, 6, 4))
    geometry = network.traced.profile.layers[0].positions
    assert bool(geometry and geometry.sums) is adds
    if adds:
        assert geometry is not None
        parts = torch.stack(
            [function(x * (torch.arange(6)[:, None] == row)) for row in range(x.shape[2])]
        )
        assert torch.allclose(parts.sum(0), function(x))
        assert geometry.count < 2


def test_statistics_that_nodes_tell_each_other() -> None:
    told = {
        nn.LayerNorm((4, 6, 5)): 2 * 2,  # mean and variance of both samples
        nn.InstanceNorm2d(4): 2 * 2 * 4,
        nn.GroupNorm(2, 4): 2 * 2 * 2,
        nn.RMSNorm((4, 6, 5)): 2,
        nn.LayerNorm(5): 0,
        nn.BatchNorm2d(4): 0,
    }
    for module, numbers in told.items():
        network = check(module, image(2, 4, 6, 5))
        (layer,) = network.traced.profile.layers
        assert layer.positions is not None
        assert layer.positions.statistics_bytes == 8 * numbers, module
        assert layer.samples is not None
        assert layer.samples.statistics_bytes == 0
