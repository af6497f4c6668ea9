"""Windows of ONNX's convolutions, poolings, resizings and paddings along every dimension."""

from __future__ import annotations

from profiles.from_onnx.call import Call
from profiles.graph import Span, Spans
from profiles.meanings import spans
from profiles.meanings.call import Shape


def spans_of(call: Call) -> Spans:
    """Of a node that needs no handler of its own; empty where nothing is known."""
    x = call.tensor(0)
    if x is None or len(x.shape) != len(call.output(call.used[0]).shape):
        return ()
    if call.op_type.startswith("Global"):
        return spans.behind(len(x.shape), [None] * (len(x.shape) - 2))
    if call.op_type.endswith("Pool"):
        return _pooled(call, x.shape)
    if call.op_type in ("Resize", "Upsample"):
        return _resized(call, x.shape)
    return _padded(call, len(x.shape)) if call.op_type == "Pad" else ()


def convolved(
    call: Call, before: Shape, kernel: Shape, made: Shape | None = None
) -> list[Span | None]:
    """Along the dimensions of a convolution's kernel; ``made``: unless it is the output's shape."""
    count = len(kernel)
    after = (made or call.output().shape)[-count:]
    strides, dilations = (_each(call, name, count) for name in ("strides", "dilations"))
    numbers = list(zip(kernel, strides, dilations, strict=True))
    if call.op_type != "ConvTranspose":
        return _windows(call, before[-count:], after, numbers)
    more = _each(call, "output_padding", count, 0)
    pads = _pads(call, count)
    found: list[Span | None] = []
    for axis, (k, stride, dilation) in enumerate(numbers):
        begin, further = pads[axis], 0
        if "output_shape" in call.attributes or _automatic(call):
            # What is to be cut off is split in halves; releases differ in which is the larger.
            reach = dilation * (k - 1) + 1
            total = stride * (before[axis - count] - 1) + more[axis] + reach - after[axis]
            begin, further = total // 2, total % 2
        found.append(spans.spread(k, stride, begin, dilation, more=further))
    return found


def _windows(
    call: Call, before: Shape, after: Shape, numbers: list[tuple[int, int, int]]
) -> list[Span | None]:
    pads = _pads(call, len(numbers))
    found: list[Span | None] = []
    for axis, (kernel, stride, dilation) in enumerate(numbers):
        begin = pads[axis]
        if _automatic(call):
            reach = (after[axis] - 1) * stride + dilation * (kernel - 1) + 1
            total = max(reach - before[axis], 0)
            begin = total // 2 if call.attributes["auto_pad"] == b"SAME_UPPER" else -(-total // 2)
        found.append(spans.window(kernel, stride, begin, dilation))
    return found


def _automatic(call: Call) -> bool:
    """Whether the padding follows from the output's size."""
    return call.attributes.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER")


def _pads(call: Call, count: int) -> Shape:
    """Padding before the first entry of every dimension."""
    return _each(call, "pads", 2 * count, 0)[:count]


def _each(call: Call, name: str, count: int, default: int = 1) -> Shape:
    found = tuple(call.attributes.get(name, ()))
    return found if len(found) == count else (default,) * count


def _pooled(call: Call, before: Shape) -> Spans:
    kernel = tuple(call.attributes.get("kernel_shape", ()))
    count, after = len(kernel), call.output(call.used[0]).shape
    if not 0 < count == len(before) - 2:
        return ()
    strides, dilations = (_each(call, name, count) for name in ("strides", "dilations"))
    numbers = list(zip(kernel, strides, dilations, strict=True))
    return spans.behind(len(before), _windows(call, before[2:], after[2:], numbers))


_PLACES: dict[bytes, spans.Places] = {
    b"asymmetric": "asymmetric",
    b"half_pixel": "half_pixel",
    b"pytorch_half_pixel": "half_pixel",
    b"align_corners": "align_corners",
}


def _resized(call: Call, before: Shape) -> Spans:
    """Sizes decide, unless scales do; what is rounded how is left open by an entry."""
    given, after = call.attributes, call.output().shape
    old = call.op_type == "Upsample" or len(call.inputs) < 3  # of opset 10 and before
    default = b"asymmetric" if old else b"half_pixel"
    places = _PLACES.get(given.get("coordinate_transformation_mode", default))
    mode = given.get("mode", b"nearest")
    plain = not given.get("antialias", 0) and not given.get("axes")
    policy = given.get("keep_aspect_ratio_policy", b"stretch")
    if places is None or not plain or policy != b"stretch":
        return ()
    scales = _scales(call, len(before), 1 if old else 2)
    if scales is None:
        return ()
    return tuple(
        spans.SAME
        if old_size == new_size and scale in (None, 1.0)
        else _one_resized(old_size, new_size, places, mode, scale, given)
        for old_size, new_size, scale in zip(before, after, scales, strict=True)
    )


def _one_resized(
    before: int,
    after: int,
    places: spans.Places,
    mode: bytes,
    scale: float | None,
    given: dict[str, object],
) -> Span | None:
    if places == "align_corners" and scale is not None and scale * before != after:
        return None  # where the last entry lies is told in two ways
    if mode in (b"linear", b"cubic"):
        return spans.resized(before, after, places, (0, 1) if mode == b"linear" else (-1, 2), scale)
    if mode != b"nearest":
        return None
    # Rounded down from the entry's own place on; else up to the next, or up to the first.
    down = given.get("nearest_mode") == b"floor" and places == "asymmetric"
    return spans.resized(before, after, places, (0, 0) if down else (0, 1), scale)


def _scales(call: Call, rank: int, position: int) -> list[float | None] | None:
    """The scale of every dimension where scales decide, and not sizes; None if not known."""
    if call.has_input(3):
        return [None] * rank
    given = call.attributes.get("scales") or call.numbers(position)
    return [*map(float, given)] if given and len(given) == rank else None


def _padded(call: Call, rank: int) -> Spans:
    mode = call.attributes.get("mode", b"constant").decode(errors="replace")
    amounts = call.integers(1) if len(call.inputs) > 1 else call.attributes.get("pads")
    axes = call.integers(3) if call.has_input(3) else tuple(range(rank))
    if amounts is None or axes is None or len(amounts) != 2 * len(axes):
        return tuple(None for _ in range(rank))
    found: list[Span | None] = [spans.SAME] * rank
    for axis, before, after in zip(axes, amounts, amounts[len(axes) :], strict=False):
        found[axis % rank] = spans.padded(before, after, mode)
    return tuple(found)
