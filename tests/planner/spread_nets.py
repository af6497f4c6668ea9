"""Small models whose layers say how their rows and samples follow from their inputs'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.domain.positions import SAME, Geometry, Window
from tests.planner.builders import ELEMENT_BYTES, Net


class SpreadNet(Net):
    """Maps of rows × width for every sample of a batch; each method returns a tensor's name.

    Windows reach along the rows alone.
    """

    def __init__(self, features: int = 2, rows: int = 8, width: int = 1, samples: int = 1) -> None:
        super().__init__(features, samples * rows * width)
        self._place = {"image": (rows, samples)}
        self._inputs[0] = self._inputs[0].model_copy(update={"positions": rows, "samples": samples})

    def rows(self, name: str) -> int:
        """Rows of a tensor; 0 if it has none."""
        return self._place[name][0]

    def _made(
        self,
        op: str,
        flow: str,
        sources: Sequence[str],
        out: int,
        positions: Geometry | None,
        **fields: Any,
    ) -> str:
        """Add a layer whose output has as many rows as ``positions`` counts."""
        rows, batch = self._place[sources[0]]
        batch = min(batch, *(self._place[source][1] for source in sources))
        per_row = self.size(sources[0])[1] // max(rows, 1)
        count = positions.count if positions else rows
        after = per_row * max(count, 1)
        name = self._add(
            op,
            flow,
            sources,
            out,
            after,
            positions=positions,
            samples=Geometry(count=batch, reads=(SAME,) * len(sources)) if batch else None,
            **fields,
        )
        self._place[name] = (count if positions else 0, batch)
        return name

    def _spread(self, sources: Sequence[str], **fields: Any) -> Geometry | None:
        """Row r of the output reads row r of every input; nothing where they have no rows."""
        rows = self.rows(sources[0])
        return Geometry(count=rows, reads=(SAME,) * len(sources), **fields) if rows else None

    def window(
        self,
        source: str,
        out: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        padding: int | None = None,
        bias: bool = False,
        granularity: int = 1,
    ) -> str:
        """A convolution along the rows that mixes all features."""
        features, _ = self.size(source)
        geometry = self._window(source, kernel, stride, dilation, padding)
        return self._mixing(source, out, geometry, features * out * kernel, bias, granularity)

    def _window(
        self, source: str, kernel: int, stride: int, dilation: int, padding: int | None
    ) -> Geometry:
        reach = dilation * (kernel - 1)
        pad = reach // 2 if padding is None else padding
        rows = (self.rows(source) + 2 * pad - reach - 1) // stride + 1
        return Geometry(count=rows, reads=(Window(step=stride, first=-pad, last=reach - pad),))

    def transposed(self, source: str, out: int, *, kernel: int = 2, stride: int = 2) -> str:
        """A transposed convolution along the rows."""
        features, _ = self.size(source)
        rows = (self.rows(source) - 1) * stride + kernel
        window = Window(per=stride, first=-(kernel - 1) + stride - 1, last=0)
        return self._mixing(
            source, out, Geometry(count=rows, reads=(window,)), features * out * kernel
        )

    def _mixing(
        self,
        source: str,
        out: int,
        positions: Geometry | None,
        weights: int,
        bias: bool = False,
        granularity: int = 1,
    ) -> str:
        rows = self.rows(source)
        per_row = self.size(source)[1] // max(rows, 1)
        after = per_row * max(positions.count if positions else rows, 1)
        return self._made(
            "conv",
            "mixing",
            (source,),
            out,
            positions,
            macs=weights * after,
            params=weights + out * bias,
            weight_params=weights,
            granularity=granularity,
        )

    def linear(self, source: str, out: int, *, bias: bool = True, granularity: int = 1) -> str:
        """A projection of every row (or of a tensor without rows) by itself."""
        weights = self.size(source)[0] * out
        return self._mixing(source, out, self._spread((source,)), weights, bias, granularity)

    def depthwise(self, source: str, *, kernel: int = 3, multiplier: int = 1) -> str:
        """A convolution along the rows of every feature by itself."""
        features, size = self.size(source)
        weights = features * multiplier * kernel
        return self._made(
            "conv",
            "local",
            (source,),
            features * multiplier,
            self._window(source, kernel, 1, 1, None),
            macs=weights * size,
            params=weights,
            weight_params=weights,
            groups=features,
        )

    def pool(self, source: str, *, kernel: int = 2, stride: int = 2, padding: int = 0) -> str:
        """A pooling along the rows."""
        geometry = self._window(source, kernel, stride, 1, padding)
        return self._made("pool", "local", (source,), self.size(source)[0], geometry)

    def rolled(self, source: str, by: int) -> str:
        """Rows moved on, the last ones to the front."""
        window = Window(first=-by, last=-by, wraps=True)
        geometry = Geometry(count=self.rows(source), reads=(window,))
        return self._made("roll", "local", (source,), self.size(source)[0], geometry)

    def pointwise(self, *sources: str, op: str = "relu", macs: int = 0) -> str:
        """Element by element, of one or more inputs."""
        positions = self._spread(sources)
        return self._made(op, "local", sources, self.size(sources[0])[0], positions, macs=macs)

    def joined(self, *sources: str) -> str:
        """Features of the inputs one behind the other."""
        features = sum(self.size(source)[0] for source in sources)
        return self._made("concat", "concat", sources, features, self._spread(sources))

    def part(self, source: str, start: int, stop: int) -> str:
        """A run of features."""
        return self._made(
            "slice", "slice", (source,), stop - start, self._spread((source,)), feature_start=start
        )

    def norm(self, source: str) -> str:
        """A norm over features: two numbers per row, where features are parted."""
        features, size = self.size(source)
        return self._made(
            "layer_norm",
            "local",
            (source,),
            features,
            self._spread((source,)),
            params=2 * features,
            statistics_bytes=2 * size * ELEMENT_BYTES,
        )

    def norm_of_rows(self, source: str) -> str:
        """A norm over rows: two numbers per feature, where rows are parted."""
        features, _ = self.size(source)
        geometry = self._spread((source,), statistics_bytes=2 * features * ELEMENT_BYTES)
        return self._made("norm", "local", (source,), features, geometry, params=2 * features)

    def total(self, source: str) -> str:
        """A mean over the rows: whole rows give parts of the sum."""
        features, size = self.size(source)
        geometry = Geometry(count=0, reads=(None,), adds=True)
        return self._made("mean", "local", (source,), features, geometry, macs=features * size)

    def reduced(self, source: str) -> str:
        """One feature, the sum of all: every node tells every other its part."""
        _, size = self.size(source)
        return self._made(
            "sum",
            "reduce",
            (source,),
            1,
            self._spread((source,)),
            statistics_bytes=size * ELEMENT_BYTES,
        )

    def attention(self, query: str, key: str, value: str, heads: int = 2) -> str:
        """Every row of the query reads all rows of key and value, head by head."""
        features, size = self.size(query)
        rows = self.rows(query)
        return self._made(
            "attention",
            "grouped",
            (query, key, value),
            features,
            Geometry(count=rows, reads=(SAME, None, None)),
            macs=2 * features * size * rows,
            groups=heads,
        )

    def alone(self, source: str, out: int, macs: int) -> str:
        """What nobody knows how to part."""
        size = self.size(source)[1]
        name = self._add("lstm", "one-node", (source,), out, size, macs=macs)
        self._place[name] = (0, 0)
        return name

    def layers(self) -> list[LayerProfile]:
        """What there is so far."""
        return list(self._layers)

    def names(self) -> list[str]:
        """Tensors that layers have made."""
        return [layer.name for layer in self._layers]


def random_net(rng: Any, layers: int, *, samples: int = 1, wild: bool = True) -> ModelProfile:
    """A directed acyclic graph of layers of every kind; later ones read any earlier tensor.

    Parameters
    ----------
    rng : random.Random
    layers : int
    samples : int
    wild : bool
        Whether there are also layers that nobody can part, and several outputs.
    """
    net = SpreadNet(rng.randint(1, 3), rng.randint(2, 9), rng.choice([1, 1, 2]), samples)
    names = ["image"]
    while len(net.names()) < layers:
        fresh = names[-1] if rng.random() < 0.7 else rng.choice(names)
        made = _random_layer(net, rng, fresh, names, wild)
        if made is not None:
            names.append(made)
    outputs = {net.names()[-1]}
    if wild and rng.random() < 0.3:
        outputs.add(rng.choice(net.names()))
    return net.profile(*sorted(outputs, key=net.names().index))


def _random_layer(
    net: SpreadNet, rng: Any, source: str, names: list[str], wild: bool
) -> str | None:
    rows, features = net.rows(source), net.size(source)[0]
    out = rng.randint(1, 6)
    kinds = ["linear", "linear", "pointwise", "add", "part"]
    if rows > 1:
        kinds += [*("window",) * 4, "depthwise", "pool", "norm", "rolled", "total", "transposed"]
        kinds += ["norm_of_rows", "reduced", "joined", "attention"]
    if wild:
        kinds += ["alone"]
    kind = rng.choice(kinds)
    alike = [n for n in names if net.size(n) == net.size(source) and net.rows(n) == rows]
    if kind == "linear":
        return net.linear(source, out, bias=rng.random() < 0.5)
    if kind == "window":
        kernel, dilation = rng.choice([1, 2, 3]), rng.choice([1, 1, 2])
        pad = rng.choice([None, 0, 1])
        reach = dilation * (kernel - 1)
        if rows + 2 * (reach // 2 if pad is None else pad) <= reach:
            return None
        return net.window(
            source,
            out,
            kernel=kernel,
            stride=rng.choice([1, 1, 2]),
            dilation=dilation,
            padding=pad,
            bias=rng.random() < 0.5,
        )
    if kind == "depthwise":
        return net.depthwise(source, multiplier=rng.choice([1, 2]))
    if kind == "pool":
        return net.pool(source, kernel=2, stride=rng.choice([1, 2]))
    if kind == "rolled":
        return net.rolled(source, rng.randint(1, rows - 1))
    if kind == "transposed":
        return net.transposed(source, out) if rows < 7 else None
    if kind in ("norm", "norm_of_rows", "total", "reduced"):
        return getattr(net, kind)(source)
    if kind == "pointwise":
        return net.pointwise(source, macs=rng.choice([0, 0, features * 3]))
    if kind == "add":
        return net.pointwise(source, rng.choice(alike), op="add")
    if kind == "joined":
        return net.joined(source, rng.choice(alike))
    if kind == "part":
        start = rng.randint(0, features - 1)
        return net.part(source, start, rng.randint(start + 1, features))
    if kind == "attention":
        if features % 2:
            return None
        return net.attention(source, rng.choice(alike), rng.choice(alike))
    return net.alone(source, out, out * rng.randint(0, 40))
