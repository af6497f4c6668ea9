"""Small networks whose layers read rows and tokens in many ways."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Inception(nn.Module):
    """Branches of several kernels and pools, concatenated; windows that reach over the border."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.one, self.three = nn.Conv2d(8, 5, 1), nn.Conv2d(8, 6, 3, padding=1)
        self.tall, self.flat = nn.Conv2d(8, 4, (5, 1), padding=(2, 0)), nn.Conv2d(8, 3, (1, 3))
        self.pooled = nn.Conv2d(8, 4, 1)
        self.last = nn.Conv2d(22, 6, 3, stride=2)
        self.head = nn.Linear(6 * 2 * 2, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(torch.relu(self.stem(x)), 3, 2, 1, ceil_mode=True)
        around = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        parts = [
            self.one(x),
            self.three(functional.max_pool2d(x, 3, 1, 1)),
            self.tall(x),
            self.flat(functional.pad(x, (1, 1, 0, 0), mode="reflect")),
            self.pooled(around + functional.max_pool2d(functional.pad(x, (1,) * 4), 3, 1, 1, 2)),
        ]
        y = torch.relu(self.last(torch.cat(parts, 1)))
        y = functional.avg_pool2d(y, 2, 2, ceil_mode=True)
        return self.head(functional.adaptive_avg_pool2d(y, 2).flatten(1))


class Segmenter(nn.Module):
    """Down and up again: dilated, transposed and depthwise convolutions, every interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, 2, 1)
        self.wide = nn.Conv2d(8, 8, 3, padding=3, dilation=3)
        self.depth = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.up = nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1)
        self.grouped = nn.ConvTranspose2d(6, 6, 4, 2, 1, groups=3)
        self.spread = nn.ConvTranspose2d(6, 4, 2, 3)
        self.last = nn.Conv2d(6, 3, 3, padding="same")
        self.norm = nn.GroupNorm(3, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.first(x))
        b = functional.silu(self.down(a))
        b = b + self.depth(torch.relu(self.wide(b)))
        c = self.norm(self.up(b)) + a
        c = c + functional.interpolate(b[:, :6], scale_factor=2, mode="bilinear")
        c = c + functional.interpolate(b[:, 2:], scale_factor=2, mode="nearest")
        d = functional.interpolate(self.grouped(c), size=(9, 11), mode="bicubic")
        e = self.spread(functional.interpolate(d, size=(5, 5), mode="bilinear", align_corners=True))
        return self.last(torch.cat([d, e[:, :2, :9, :11]], 1)[:, 1:7]), e.mean((2, 3))


class Windows(nn.Module):
    """Attention in windows of rows and columns, shifted; neighbours merged."""

    def __init__(self, size: int = 2, heads: int = 2) -> None:
        super().__init__()
        width, self.size, self.heads = 8, size, heads
        self.patch = nn.Conv2d(3, width, 2, 2)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.bias = nn.Parameter(torch.zeros(heads, size * size, size * size))
        self.merge, self.last = nn.Linear(4 * width, 2 * width, bias=False), nn.Linear(2 * width, 5)

    def attend(self, x: torch.Tensor, index: int, shift: int) -> torch.Tensor:
        batch, rows, columns, width = x.shape
        y, size = self.norms[index](x), self.size
        if shift:
            y = torch.roll(y, (-shift, -shift), (1, 2))
        y = y.view(batch, rows // size, size, columns // size, size, width)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, width)
        q, k, v = (
            self.qkv[index](y)
            .reshape(len(y), size * size, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        weights = q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5 + self.bias
        y = (torch.softmax(weights, -1) @ v).transpose(1, 2).reshape(len(q), size * size, width)
        y = self.out[index](y)
        y = y.view(batch, rows // size, columns // size, size, size, width)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, width)
        if shift:
            y = torch.roll(y, (shift, shift), (1, 2))
        return x + y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).permute(0, 2, 3, 1)
        x = self.attend(x, 0, 0)
        x = x + self.down(functional.gelu(self.up(self.norms[2](x))))
        x = self.attend(x, 1, 1)
        corners = [x[:, i::2, j::2] for j in range(2) for i in range(2)]
        x = self.merge(torch.cat(corners, -1))
        return self.last(x.mean((1, 2)))


class Decoder(nn.Module):
    """Causal attention, then attention to every second token, then learned questions."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 12)
        self.position = nn.Parameter(torch.zeros(1, 9, 12))
        self.inner = nn.ModuleList(nn.Linear(12, 12) for _ in range(4))
        self.cross = nn.ModuleList(nn.Linear(12, 12) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(12) for _ in range(3))
        self.gate = nn.Linear(12, 24)
        self.questions = nn.Parameter(torch.zeros(1, 4, 12))
        self.head = nn.Linear(12, 6)

    def heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], x.shape[1], 3, 4).transpose(1, 2)

    def attend(
        self, parts: nn.ModuleList, x: torch.Tensor, y: torch.Tensor, causal: bool
    ) -> torch.Tensor:
        q, k, v = self.heads(parts[0](x)), self.heads(parts[1](y)), self.heads(parts[2](y))
        made = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return parts[3](made.transpose(1, 2).flatten(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.table(x) + self.position
        x = x + self.attend(self.inner, self.norms[0](x), self.norms[0](x), True)
        memory = self.norms[1](x)[:, ::2]
        x = x + self.attend(self.cross, x, memory, False)
        x = x + functional.glu(self.gate(self.norms[2](x)), -1)
        asked = self.questions + x[:, 5:]
        seen = torch.softmax(asked @ x.transpose(1, 2), -1) @ x
        return self.head(torch.cat([seen, x], 1))


class Sequence(nn.Module):
    """Convolutions of one dimension: strided, dilated, transposed, with pools and padding."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 8, 5, 2, 2), nn.Conv1d(8, 8, 3, padding="same")
        self.wide, self.up = nn.Conv1d(8, 6, 3, dilation=2), nn.ConvTranspose1d(6, 5, 4, 2, 1)
        self.norm, self.last = nn.InstanceNorm1d(8, affine=True), nn.Conv1d(5, 4, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(torch.relu(self.first(x)))
        x = functional.max_pool1d(x + self.second(x), 3, 1, 1)
        x = functional.pad(x, (2, 2), mode="replicate")
        x = self.up(functional.avg_pool1d(self.wide(x), 2))
        return self.last(x + functional.interpolate(x, size=x.shape[-1], mode="linear"))


class Drawn(nn.Module):
    """Layers drawn at random, each of what some earlier ones make."""

    def __init__(self, seed: int, layers: int = 10) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.parts = nn.ModuleList()
        self.plan: list[tuple[str, list[int], int]] = []
        shapes = [(6, 12, 12)]
        for _ in range(layers):
            source = int(rng.integers(max(len(shapes) - 3, 0), len(shapes)))
            channels, rows, _ = shapes[source]
            kind = str(rng.choice(["conv", "depth", "down", "up", "pool", "norm", "relu", "join"]))
            if (kind in ("down", "pool") and rows < 5) or (kind == "up" and rows > 12):
                kind = "relu"
            partners = [i for i, shape in enumerate(shapes) if shape == shapes[source]]
            other = partners[int(rng.integers(len(partners)))]
            self.plan.append((kind, [source, other], int(rng.integers(0, 3))))
            out = int(rng.integers(3, 9))
            kernel = int(rng.integers(1, 5 if rows > 4 else 3))
            part: nn.Module = nn.Identity()
            if kind == "conv":
                dilation = int(rng.integers(1, 3)) if kernel < 4 else 1
                part = nn.Conv2d(channels, out, kernel, padding=kernel // 2, dilation=dilation)
            elif kind == "depth":
                part = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
            elif kind == "down":
                part = nn.Conv2d(channels, out, kernel, int(rng.integers(2, 4)), kernel // 2)
            elif kind == "up":
                part = nn.ConvTranspose2d(channels, out, int(rng.integers(1, 5)), 2)
            elif kind == "norm":
                part = nn.GroupNorm(1, channels)
            self.parts.append(part)
            with torch.no_grad():
                made = self.step(len(self.plan) - 1, [torch.zeros(1, *shape) for shape in shapes])
            shapes.append(tuple(made.shape[1:]))
        self.head = nn.Linear(shapes[-1][0], 4)

    def step(self, index: int, values: list[torch.Tensor]) -> torch.Tensor:
        kind, (source, other), choice = self.plan[index]
        x, y = values[source], values[other]
        if kind == "pool":
            return (
                functional.max_pool2d(x, 3, 2, 1)
                if choice == 0
                else functional.avg_pool2d(x, 2, ceil_mode=choice == 2)
            )
        if kind == "join":
            if choice == 0:
                return torch.cat([x, y], 1)
            return x + y if choice == 1 else x * torch.sigmoid(y.mean((2, 3), keepdim=True))
        if kind == "relu":
            return torch.relu(x) if choice else functional.gelu(x)
        return self.parts[index](x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = [x]
        for index in range(len(self.plan)):
            values.append(self.step(index, values))
        return self.head(values[-1].mean((2, 3)))
