"""Matrix products: with a constant they are linear layers, of activations products."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from profiles.graph import Tensor
from profiles.meanings.call import Call, Constant, MisfitError, Operand, Shape, require
from profiles.meanings.moves import matrix_turned, swapped

Turn = tuple[bool, bool]


def product(
    call: Call,
    left: Operand,
    right: Operand,
    *,
    turn: Turn = (False, False),
    term: Tensor | None = None,
    weights: Sequence[Constant] = (),
) -> None:
    """``left · right`` over the last two dimensions, the others broadcast, plus a computed term.

    Parameters
    ----------
    turn : pair of bool
        Whether each of the two stands with its last two dimensions exchanged.
    term : Tensor, optional
        Is added element by element.
    weights : sequence of Constant
        Of the product; constant terms are among them.

    Raises
    ------
    MisfitError
        The dimension that is summed over has two sizes.
    """
    require(isinstance(left, Tensor) or isinstance(right, Tensor))
    shape = None if term is None else call.output().shape
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        a, b = (
            matrix_turned(call, x) if exchanged else x
            for x, exchanged in zip((left, right), turn, strict=True)
        )
        made = matmul(call, a, b, shape, weights)
    elif isinstance(left, Tensor):
        x = matrix_turned(call, left) if turn[0] else left
        weight = swapped(right.shape) if turn[1] else right.shape
        made = times(call, x, weight, shape, weights)
    else:
        assert isinstance(right, Tensor)
        # W · x is (xᵀ · Wᵀ)ᵀ: between two transposes it is a linear layer like any other.
        weight = left.shape if turn[0] else swapped(left.shape)
        x = right if turn[1] or len(right.shape) < 2 else matrix_turned(call, right)
        if min(len(right.shape), len(weight)) < 2:
            made = times(call, x, weight, shape, weights)
        else:
            inner = times(call, x, weight, swapped(call.output().shape), weights)
            made = matrix_turned(call, inner, last=term is None)
    if term is not None:
        call.add("elementwise", [made, term], "add", step="add")


def matmul(
    call: Call,
    left: Tensor,
    right: Tensor,
    shape: Sequence[int] | None,
    weights: Iterable[Constant] = (),
) -> Tensor:
    """A product of two activations; of this shape where it is not the call's output.

    Raises
    ------
    MisfitError
        The last dimension of the first is not as long as the one that it meets.
    """
    require(bool(left.shape) and bool(right.shape))
    summed = right.shape[-2] if len(right.shape) > 1 else right.shape[-1]
    if left.shape[-1] != summed:
        raise MisfitError(f"multiplies tensors of shapes {left.shape} and {right.shape}")
    return call.add("matmul", [left, right], "matmul", shape=shape, weights=weights)


def times(
    call: Call,
    x: Tensor,
    weight: Shape,
    shape: Sequence[int] | None,
    weights: Iterable[Constant],
    beside: str | None = None,
) -> Tensor:
    """``x · W`` where the weight, turned as it is used, has the shape (..., I, O) or (I,).

    Parameters
    ----------
    weight : tuple of int
        The shape of W.
    shape : sequence of int, optional
        Of the result where it is not the call's output.
    weights : iterable of Constant
        What W is made of, and a bias.
    beside : str, optional
        As `Call.add` has it.

    Raises
    ------
    MisfitError
        The tensor's last dimension does not fit the weight.
    """
    features = weight[-2] if len(weight) > 1 else weight[-1] if weight else 0
    if not x.shape or x.shape[-1] != features:
        raise MisfitError(
            f"multiplies a tensor of shape {x.shape} by a weight of shape {weight}, "
            "which do not fit"
        )
    if len(weight) < 2 or prod(weight[:-2]) > 1:  # a weight of its own for every matrix
        return call.add("matmul", [x], "matmul", shape=shape, beside=beside, weights=weights)
    canonical = (weight[-1], features)
    return call.add(
        "linear",
        [x],
        "linear",
        shape=shape,
        beside=beside,
        weights=weights,
        weight_shape=canonical,
    )
