"""Which entries of a dimension an operator reads for each that it makes.

One function for every kind of operator that moves a window over its input. Where arithmetic of
floating-point numbers decides about a border, the window is wider by an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from profiles.graph import Span, Spans

SAME = Span()


def behind(rank: int, inner: Sequence[Span | None], *, mixes: bool = False) -> Spans:
    """Those of the last dimensions; the ones before are as they were, or channels are mixed."""
    lead: list[Span | None] = [SAME] * (rank - len(inner))
    if mixes and lead:
        lead[-1] = None
    return (*lead, *inner)


def across(rank: int) -> Spans:
    """Of statistics over all dimensions but that of channels."""
    return tuple(SAME if axis == 1 else None for axis in range(rank))


def window(kernel: int, stride: int = 1, before: int = 0, dilation: int = 1) -> Span:
    """Of a convolution or pooling with so much padding before the first entry."""
    return Span(step=stride, first=-before, last=dilation * (kernel - 1) - before)


def spread(
    kernel: int, stride: int = 1, before: int = 0, dilation: int = 1, *, more: int = 0
) -> Span:
    """Of a transposed convolution; ``more`` padding before is possible, too."""
    reach = dilation * (kernel - 1)
    return Span(per=stride, first=before - reach + stride - 1, last=before + more)


def adaptive(before: int, after: int) -> Span | None:
    """Of as many windows of like size as there shall be entries; None for a single one."""
    return Span(step=before, per=after, last=before - 1) if after > 1 else None


def padded(before: int, after: int, mode: str = "constant") -> Span | None:
    """Of a dimension with further entries at its ends."""
    shift = -before
    if mode == "constant":
        return Span(first=shift, last=shift)
    if min(before, after) < 0:
        return None
    if mode in ("edge", "replicate"):  # the first and last entry, again and again
        return Span(first=shift - after, last=0)
    if mode == "reflect":  # as far inside as it is outside
        return Span(first=shift - 2 * after, last=before)
    if mode in ("circular", "wrap"):
        return Span(first=shift, last=shift, wraps=True)
    return None


def sliced(start: int, step: int = 1) -> Span:
    """Of every so many entries from one on."""
    return Span(step=step, first=start, last=start)


def rolled(shift: int) -> Span:
    """Of entries that move to the right, out of the end and into the start."""
    return Span(first=-shift, last=-shift, wraps=True) if shift else SAME


Places = Literal["asymmetric", "half_pixel", "align_corners"]
"""Where entry r lies in the input: r·scale, (r + ½)·scale − ½, or both ends on each other."""


def resized(
    before: int,
    after: int,
    places: Places,
    taps: tuple[int, int],
    scale: float | None = None,
) -> Span | None:
    """Of a dimension that is brought to another size.

    Parameters
    ----------
    places : Places
    taps : pair of int
        First and last entry that is read, counted from the one at or before the place: (0, 1) if
        linear.
    scale : float, optional
        Output entries per input entry, where that decides and not the two sizes.

    Returns
    -------
    Span or None
        None where the scale is no simple fraction.
    """
    per: int
    step: int
    if places == "align_corners":
        step, per = before - 1, after - 1
    elif scale is None:
        step, per = before, after
    else:
        ratio = Fraction(scale).limit_denominator(_LARGEST)
        if float(ratio) != scale or not 0 < ratio.numerator <= _LARGEST:
            return None
        step, per = ratio.denominator, ratio.numerator
    if min(step, per) < 1:
        return None
    first = last = 0
    if places == "half_pixel":  # (r + ½)·s/p − ½ = (2·r·s + s − p) / 2·p
        first = last = step - per
        step, per = 2 * step, 2 * per
    exact = scale is not None and int(per).bit_count() == 1  # halves and quarters are
    unsure = 0 if exact else 1
    return Span(step, per, first + taps[0] * per - unsure, last + taps[1] * per + unsure)


_LARGEST = 64  # numerator and denominator of a scale
