"""Small networks of every family that is sliced."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """Convolutions with batch norm, a down-sampling branch, pooling, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 10, 3, padding=1, bias=False), nn.BatchNorm2d(10)
        self.first, self.second = nn.Conv2d(10, 9, 3, padding=1), nn.Conv2d(9, 10, 1)
        self.third, self.down = nn.Conv2d(10, 14, 3, 2, 1), nn.Conv2d(10, 14, 1, 2)
        self.prelu = nn.PReLU(14)
        self.head = nn.Linear(14, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu_(self.norm(self.stem(x))), 2)
        y = self.second(torch.relu(self.first(x)))
        y += x
        y = self.prelu(self.third(y) + self.down(y))
        return self.head(functional.adaptive_avg_pool2d(y, 1).flatten(1))


class Plain(nn.Module):
    """Same padding, dilation, transposed convolution, flattened maps before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 7, 3, padding="same")
        self.second = nn.Conv2d(7, 6, 3, padding=2, dilation=2)
        self.up = nn.ConvTranspose2d(6, 5, 2, 2)
        self.pad = nn.ReflectionPad2d(1)
        self.head = nn.Linear(5 * 4 * 4, 6)
        self.last = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(self.first(x), 0.1)
        x = functional.pad(functional.elu(self.second(x)), (1, 0, 0, 1))
        x = functional.avg_pool2d(self.pad(self.up(x[:, :, :8, :8])), 2, 2)
        x = functional.interpolate(x, size=(4, 4), mode="bilinear")
        return self.last(torch.relu(self.head(x.flatten(1))))


class Depthwise(nn.Module):
    """An inverted residual with squeeze-and-excite, a depth multiplier and a grouped layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.expand, self.norm = nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24)
        self.depth = nn.Conv2d(24, 24, 5, padding=2, groups=24, bias=False)
        self.squeeze, self.excite = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1)
        self.project = nn.Conv2d(24, 8, 1)
        self.twice = nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(16, 12, 3, padding=1, groups=4)
        self.head = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.hardswish(self.stem(x))
        y = functional.silu(self.depth(self.norm(self.expand(x))))
        gate = torch.sigmoid(self.excite(functional.relu6(self.squeeze(y.mean((2, 3), True)))))
        x = x + self.project(y * gate)
        return self.head(self.grouped(self.twice(x)).mean((2, 3)))


class Dense(nn.Module):
    """Concatenation, splitting, shuffles of channels and of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first, self.second = nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(14, 6, 1)
        self.left = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.last = nn.Conv2d(20, 12, 3, padding=1)
        self.end = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.cat([x, self.first(x)], 1)
        x = torch.cat([x, functional.gelu(self.second(x))], 1)
        a, b = x.chunk(2, 1)
        x = torch.cat([self.left(a), b], 1)
        x = x.view(x.shape[0], 2, 10, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
        return self.end(functional.pixel_shuffle(self.last(x), 2))


class Block(nn.Module):
    """A transformer block: fused or separate projections, torch's attention or written out."""

    def __init__(self, width: int, heads: int, *, fused: bool, key_heads: int = 0) -> None:
        super().__init__()
        self.heads, self.key_heads, self.fused = heads, key_heads or heads, fused
        depth = width // heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        if fused:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q = nn.Linear(width, width)
            self.k = nn.Linear(width, self.key_heads * depth, bias=False)
            self.v = nn.Linear(width, self.key_heads * depth)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        y, depth = self.before(x), width // self.heads
        if self.fused:
            q, k, v = self.qkv(y).view(batch, tokens, 3, self.heads, depth).permute(2, 0, 3, 1, 4)
            weights = torch.softmax(q @ k.transpose(-2, -1) * depth**-0.5, -1)
            y = weights @ v
        else:
            q, k, v = (
                layer(y).view(batch, tokens, -1, depth).transpose(1, 2)
                for layer in (self.q, self.k, self.v)
            )
            y = functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, enable_gqa=self.key_heads != self.heads
            )
        x = x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.down(functional.gelu(self.up(self.after(x))))


class Transformer(nn.Module):
    """Patches, a class token, positions, blocks of every kind, a final norm."""

    def __init__(self, heads: int = 4, key_heads: int = 2) -> None:
        super().__init__()
        width = 4 * heads
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 17, width))
        self.blocks = nn.Sequential(
            Block(width, heads, fused=True), Block(width, heads, fused=False, key_heads=key_heads)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class Reductions(nn.Module):
    """Norms written out, statistics over features, softmax over features, gated units."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 12), nn.Linear(12, 16), nn.Linear(8, 8)
        self.scale = nn.Parameter(torch.ones(12))
        self.norm = nn.RMSNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.scale
        x = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
        x = x / x.amax(-1, keepdim=True).clamp(min=1.0) + x.sum(-1, keepdim=True)
        x = functional.glu(self.second(x), -1)
        x = self.norm(self.third(x)) * torch.softmax(x, -1)
        return x - x.logsumexp(-1, keepdim=True) + torch.linalg.vector_norm(x, dim=-1, keepdim=True)


class Norms(nn.Module):
    """Group norm with several groups and with one, over maps and over channels, instance norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.groups = nn.Conv2d(3, 12, 3), nn.GroupNorm(4, 12)
        self.second, self.single = nn.Conv2d(12, 7, 1), nn.GroupNorm(1, 7)
        self.maps, self.instance = nn.LayerNorm([7, 6, 6]), nn.InstanceNorm2d(7, affine=True)
        self.third = nn.Conv2d(7, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu6(self.groups(self.first(x)))
        x = self.single(self.second(x))
        return self.third(functional.mish(self.maps(x)) + self.instance(x))


class Recurrent(nn.Module):
    """An LSTM, which one node runs, between two layers that all share."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.recurrent = nn.Linear(6, 8), nn.LSTM(8, 6, batch_first=True)
        self.last = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.recurrent(torch.tanh(self.first(x)))[0])


class Products(nn.Module):
    """Sums in Einstein's notation, a rotation, a slice of features."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.bias = nn.Parameter(torch.zeros(7))
        self.last = nn.Linear(7, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        heads = x.unflatten(-1, (3, 4))
        weights = torch.einsum("bqhd,bkhd->bhqk", heads, heads).softmax(-1)
        x = torch.einsum("bhqk,bkhd->bqhd", weights, heads).flatten(2)
        return self.last(torch.roll(x, 1, 1)[..., :7] * torch.sigmoid(self.bias))


class Mixed(nn.Module):
    """Features that every node holds beside features that are shared out; stacked maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(9, 8, 3, padding=1)
        self.third, self.fourth = nn.Conv2d(12, 8, 1), nn.Conv2d(9, 8, 1)
        self.last = nn.Conv2d(9, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([x, torch.relu(self.first(x))], 1)
        z = self.second(y)
        z = self.third(torch.cat([z[:, 1:7], y[:, 3:]], 1) * x.mean((1, 2, 3), keepdim=True))
        z = torch.stack([z, torch.maximum(z, self.fourth(y))], 1).flatten(1, 2)
        return self.last(torch.cat([z[:, :6], x.flip(-1).repeat(1, 1, 1, 1)], 1))
