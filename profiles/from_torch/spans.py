"""Windows of ATen's poolings, resizings, paddings and convolutions along every dimension."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from profiles.from_torch.emitter import Call
from profiles.graph import Span, Spans
from profiles.meanings import spans

Numbers = tuple[int, ...]


def spans_of(call: Call) -> Spans:
    """Of a call that needs no handler of its own; empty where nothing is known."""
    x = call.tensor("self") or call.tensor("input")
    if x is None:
        return ()
    if "upsample_" in call.base:
        return _resized(call, x.shape)
    if "pool" in call.base:
        return _pooled(call, x.shape)
    if "pad" in call.base:
        return _padded(call, len(x.shape))
    return ()


def convolved(call: Call, kernel: Numbers, transposed: bool) -> list[Span | None]:
    """Along the dimensions of a convolution's kernel."""
    count = len(kernel)
    stride, dilation = (_each(call, name, count, 1) for name in ("stride", "dilation"))
    padding = call.value("padding", 0)
    before: Numbers | None
    if isinstance(padding, str):
        same = padding == "same" and dilation is not None
        reach = [d * (k - 1) for d, k in zip(dilation or (), kernel, strict=False)]
        before = tuple(r // 2 for r in reach) if same else (0,) * count
    else:
        before = _each(call, "padding", count, 0)
    if stride is None or dilation is None or before is None:
        return [None] * count
    found = zip(kernel, stride, before, dilation, strict=True)
    make = spans.spread if transposed else spans.window
    return [make(*numbers) for numbers in found]


def _each(call: Call, name: str, count: int, default: int) -> Numbers | None:
    """An argument with one number for every dimension, or one for all of them."""
    found = call.integers(name) if call.value(name) is not None else (default,)
    if found is not None and len(found) == 1:
        found = found * count
    return found if found is not None and len(found) == count else None


def _pooled(call: Call, before: Numbers) -> Spans:
    digit = re.search(r"(\d)d", call.base)
    count, after = int(digit[1]) if digit else 0, call.output().shape
    if not 0 < count < len(before) or len(after) != len(before) or "fractional" in call.base:
        return ()
    if "adaptive" in call.base:
        pairs = zip(before[-count:], after[-count:], strict=True)
        return spans.behind(len(before), [spans.adaptive(*pair) for pair in pairs])
    kernel = _each(call, "kernel_size", count, 0)
    stride = _each(call, "stride", count, 0) if call.value("stride") else kernel
    padding, dilation = _each(call, "padding", count, 0), _each(call, "dilation", count, 1)
    if kernel is None or stride is None or padding is None or dilation is None:
        return ()
    windows = zip(kernel, stride, padding, dilation, strict=True)
    return spans.behind(len(before), [spans.window(*numbers) for numbers in windows])


def _resized(call: Call, before: Numbers) -> Spans:
    """``upsample_nearest2d`` and the like; with scales, or sizes alone."""
    count, after = len(before) - 2, call.output().shape
    if count < 1 or len(after) != len(before) or call.base.endswith("_aa"):
        return ()
    corners = call.value("align_corners") is True
    places: spans.Places = "align_corners" if corners else "half_pixel"
    taps = (-1, 2) if "bicubic" in call.base else (0, 1)
    if "nearest" in call.base and "exact" not in call.base:
        places, taps = "asymmetric", (0, 0)
    sizes = zip(before[2:], after[2:], _scales(call, count), strict=True)
    return spans.behind(
        len(before), [spans.resized(old, new, places, taps, scale) for old, new, scale in sizes]
    )


def _scales(call: Call, count: int) -> Sequence[float | None]:
    """The scale of every dimension, where the call goes by it and not by the sizes."""
    found = call.value("scale_factors")
    if not isinstance(found, tuple):
        names = ("scales_d", "scales_h", "scales_w")[-count:] if count > 1 else ("scales",)
        found = tuple(call.value(name) for name in names)
    scales = [scale if isinstance(scale, float) and scale > 0 else None for scale in found]
    return scales if len(scales) == count else [None] * count


def _padded(call: Call, rank: int) -> Spans:
    mode = str(call.value("mode", "constant"))
    mode = "reflect" if "reflection" in call.base else mode
    mode = "replicate" if "replication" in call.base else mode
    amounts = call.integers("pad") or call.integers("padding")
    if amounts is None or len(amounts) % 2 or len(amounts) > 2 * rank:
        return (None,) * rank  # a shifted dimension may keep its size
    pairs = list(zip_longest(amounts[::2], amounts[1::2]))
    return spans.behind(rank, [spans.padded(*pair, mode) for pair in reversed(pairs)])
