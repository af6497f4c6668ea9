"""Einsum: pairs of operands, each a matrix product between transposes and reshapes.

Three operands and more are contracted in pairs from the left to the right: the first with the
second, what they give with the third, and so on. That is what ATen and ONNX Runtime do unless
they are told another order. An index that only one of a pair has and nothing behind it reads is
summed before the pair's product, a diagonal is taken before. A pair of weights alone is the same
for every input: the weight that it gives belongs to the next product, with the work of making it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from math import prod

from profiles.graph import Tensor
from profiles.meanings.call import Call, Constant, Operand, Shape, require
from profiles.meanings.moves import reshaped, turned
from profiles.meanings.products import matmul, times

_SPARE = "".join(chr(code) for code in range(0x100, 0x140))  # names for the ellipsis' dimensions


def parsed(equation: str, shapes: Sequence[Shape]) -> tuple[list[str], str, dict[str, int]]:
    """Read an equation: one index for every dimension.

    Parameters
    ----------
    equation : str
        ``"bij,bjk->bik"``; without an arrow the output has every index that stands once, in
        alphabetical order behind the ellipsis' dimensions.
    shapes : sequence of tuple of int
        Of the operands.

    Returns
    -------
    list of str
        Indices of each operand.
    str
        Of the output.
    dict of str to int
        Their sizes.

    Raises
    ------
    UnknownFormError
        It makes no sense, or one index has two sizes (a broadcast: rare, and not worth a guess).
    """
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    read = left.split(",")
    require(re.fullmatch(r"[A-Za-z,.]*(->[A-Za-z.]*)?", text) is not None)
    require(len(read) == len(shapes))
    if not arrow:
        letters = re.sub("[,.]", "", left)
        once = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
        right = ("..." if "..." in left else "") + once
    ranks = [len(s) - len(t) + 3 if "..." in t else 0 for t, s in zip(read, shapes, strict=True)]
    rank = max(ranks)
    require(0 <= min(ranks) <= rank <= len(_SPARE))
    # Dimensions of an ellipsis are aligned at the last one, like those of a broadcast.
    terms = [t.replace("...", _SPARE[rank - n : rank]) for t, n in zip(read, ranks, strict=True)]
    made = right.replace("...", _SPARE[:rank])
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        require("." not in term and len(term) == len(shape))
        for index, size in zip(term, shape, strict=True):
            require(sizes.setdefault(index, size) == size)
    require(set(made) <= set(sizes) and len(set(made)) == len(made))
    return terms, made, sizes


@dataclass(frozen=True)
class _Factor:
    """An operand, or what a pair of them gives.

    Attributes
    ----------
    term : str
        Its indices.
    tensor : Tensor, optional
        None for a product of weights alone.
    weights : tuple of Constant
        That no operator owns yet.
    """

    term: str
    tensor: Tensor | None
    weights: tuple[Constant, ...]


def einsum(
    call: Call,
    equation: str,
    operands: Sequence[Operand],
    pairs: Sequence[tuple[int, int]] = (),
) -> None:
    """Every combination of the indices of a pair is one multiply-accumulate.

    Parameters
    ----------
    pairs : sequence of (int, int), optional
        Which two to contract at every step, by their places, the first before the second; what
        they give takes the first's. By default from the left to the right.
    """
    read, made, sizes = parsed(equation, [operand.shape for operand in operands])
    require(tuple(sizes[index] for index in made) == call.output().shape)
    factors = [
        _Factor(term, x, ()) if isinstance(x, Tensor) else _Factor(term, None, (x,))
        for term, x in zip(read, operands, strict=True)
    ]
    if len(factors) == 1:
        _rearranged(call, factors[0], made)
    for first, second in pairs or [(0, 1)] * (len(factors) - 1):
        others = [x for place, x in enumerate(factors) if place not in (first, second)]
        wanted = set(made).union(*(item.term for item in others))
        pair = (
            _plain(call, factors[first], wanted | set(factors[second].term), sizes),
            _plain(call, factors[second], wanted | set(factors[first].term), sizes),
        )
        order = "".join(dict.fromkeys(pair[0].term + pair[1].term)) if others else made
        product = _paired(
            call, *pair, "".join(i for i in order if i in wanted), sizes, last=not others
        )
        factors = [*others[:first], product, *others[first:]]


def _rearranged(call: Call, x: _Factor, made: str) -> None:
    """One operand: a transpose, or a sum."""
    assert x.tensor is not None  # a call without activations is a constant
    require(len(set(x.term)) == len(x.term))
    if set(x.term) == set(made):
        order = tuple(x.term.index(index) for index in made)
        call.add("transpose", [x.tensor], "transpose", permutation=order)
        return
    require("".join(index for index in x.term if index in made) == made)
    gone = tuple(axis for axis, index in enumerate(x.term) if index not in made)
    call.add("reduce", [x.tensor], "sum", axes=gone)


def _plain(call: Call, x: _Factor, wanted: Set[str], sizes: dict[str, int]) -> _Factor:
    """An operand with each index once, and none that nothing else reads."""
    term = "".join(dict.fromkeys(x.term))
    kept = "".join(index for index in term if index in wanted)
    tensor = x.tensor
    if tensor is not None and term != x.term:
        shape = [sizes[index] for index in term]
        tensor = call.add("gather", [tensor], "diagonal", shape=shape, step="diagonal")
    if tensor is not None and kept != term:
        gone = tuple(axis for axis, index in enumerate(term) if index not in kept)
        shape = [sizes[index] for index in kept]
        tensor = call.add("reduce", [tensor], "sum", shape=shape, step="sum", axes=gone)
    return replace(x, term=kept, tensor=tensor)


def _paired(
    call: Call, left: _Factor, right: _Factor, made: str, sizes: dict[str, int], *, last: bool
) -> _Factor:
    """Bring both operands to (batch, rows, sum) and (batch, sum, columns), and multiply them.

    Parameters
    ----------
    made : str
        The indices that stay; in this order only where the pair is the last.
    """
    weights = left.weights + right.weights
    if left.tensor is None:  # a weight comes second
        left, right = right, left
    if left.tensor is None:
        macs = prod(sizes[index] for index in set(left.term + right.term))
        makings = call.made_of(weights, "matmul", macs)
        owner, *others = weights
        return _Factor(made, None, (replace(owner, makings=makings), *others))
    a, b = left.term, right.term
    batch = [i for i in made if i in a and i in b]
    rows = [i for i in made if i in a and i not in b]
    columns = [i for i in made if i in b and i not in a]
    summed = [i for i in a if i in b and i not in made]
    outer = tuple(sizes[i] for i in batch)

    def size(indices: list[str]) -> int:
        return prod(sizes[i] for i in indices)

    def formed(x: Tensor, term: str, *groups: list[str]) -> Tensor:
        wanted = [index for group in (batch, *groups) for index in group]
        x = turned(call, x, tuple(term.index(index) for index in wanted))
        return reshaped(call, x, (*outer, *map(size, groups)))

    order = [*batch, *rows, *columns]
    natural = "".join(order)
    apart = tuple(sizes[i] for i in order)
    shape = (*outer, size(rows), size(columns))
    whole = last and natural == made and shape == apart
    wanted = None if whole else shape
    first = formed(left.tensor, a, rows, summed)
    if right.tensor is None:
        product = times(call, first, (*outer, size(summed), size(columns)), wanted, weights)
    else:
        second = formed(right.tensor, b, summed, columns)
        product = matmul(call, first, second, wanted, weights)
    if last and not whole:
        in_order = natural == made
        product = reshaped(call, product, apart, last=in_order)
        if not in_order:
            turned(call, product, tuple(order.index(i) for i in made), last=True)
    elif not last:
        product = reshaped(call, product, apart)
    return _Factor(natural, product, ())
