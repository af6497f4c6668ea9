"""Matrix products of ATen: with a constant they are linear layers, of activations products."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from profiles.from_torch.emitter import Call, Constant
from profiles.from_torch.program import Ref, Value
from profiles.graph import Tensor

Shape = tuple[int, ...]


def swapped(shape: Shape) -> Shape:
    """The last two dimensions exchanged."""
    return (*shape[:-2], *shape[-2:][::-1])


def linear(call: Call) -> bool:
    """``x · Wᵀ + b``."""
    x, weight = call.tensor("input"), call.constant("weight")
    if call.tensor("bias") is not None:
        return False
    if x is not None and weight is not None and len(weight.shape) == 2:
        if x.shape[-1] != weight.shape[1] or call.meta().shape != (*x.shape[:-1], weight.shape[0]):
            raise ValueError("shapes")
        call.emit("linear", [x], op="linear", weight_shape=weight.shape)
        return True
    right = call.tensor("weight")
    if right is None or x is None:
        return False
    turned = _transposed(call, right)
    call.emit("matmul", [x, turned], op="matmul", contracted=x.shape[-1])
    return True


def matmul(call: Call) -> bool:
    """``A · B``; over the last two dimensions, the others broadcast."""
    left, right = {"bmm": ("self", "mat2"), "mm": ("self", "mat2"), "mv": ("self", "vec")}.get(
        call.base, ("self", "tensor" if call.base == "dot" else "other")
    )
    return _product(call, left, right, None)


def added(call: Call) -> bool:
    """``β · C + α · A · B``."""
    left, right = {
        "addmm": ("mat1", "mat2"),
        "addmv": ("mat", "vec"),
        "baddbmm": ("batch1", "batch2"),
    }[call.base]
    return _product(call, left, right, call.tensor("self"))


def _product(call: Call, left: str, right: str, term: Tensor | None) -> bool:
    a, b = call.tensor(left), call.tensor(right)
    weight = call.constant(left if a is None else right)
    shape = call.meta().shape
    if a is None and b is None:
        return False  # only the added term is computed: a product of constants
    if a is not None and b is not None:
        if a.shape[-1] != (b.shape[-2] if len(b.shape) > 1 else b.shape[-1]):
            raise ValueError("shapes")
        if term is None:
            call.emit("matmul", [a, b], op="matmul", contracted=a.shape[-1])
            return True
        contracted = a.shape[-1]
        product = call.step("matmul", [a, b], shape, "matmul", part=False, contracted=contracted)
        call.emit("elementwise", [product, term], op="add", part=True)
        return True
    if weight is None:
        return False
    last = term is None
    if a is not None:
        product = _times(call, a, weight.shape, shape, last=last)
    elif b is not None and len(b.shape) > 1 and len(weight.shape) > 1:
        # W · x is (xᵀ · Wᵀ)ᵀ: between two transposes it is a linear layer like any other.
        turned = _times(
            call, _transposed(call, b), swapped(weight.shape), swapped(shape), last=False
        )
        order = swapped(tuple(range(len(shape))))
        if last:
            call.emit("transpose", [turned], op="transpose", part=True, permutation=order)
            return True
        product = call.step("transpose", [turned], shape, "transpose", permutation=order)
    elif b is not None:
        contracted = b.shape[-2] if len(b.shape) > 1 else b.shape[-1]
        if last:
            call.emit("matmul", [b], op="matmul", contracted=contracted)
            return True
        product = call.step("matmul", [b], shape, "matmul", part=False, contracted=contracted)
    if term is not None:
        call.emit("elementwise", [product, term], op="add", part=True)
    return True


def _times(call: Call, x: Tensor, weight: Shape, shape: Shape, *, last: bool) -> Tensor:
    """``x · W`` for a weight of shape (..., I, O) or (I,)."""
    contracted = x.shape[-1]
    if contracted != (weight[-2] if len(weight) > 1 else weight[-1]):
        raise ValueError("shapes")
    if len(weight) == 2:
        turned = swapped(weight)
        if last:
            return call.emit("linear", [x], op="linear", weight_shape=turned)
        return call.step("linear", [x], shape, "linear", part=False, weight_shape=turned)
    if last:
        return call.emit("matmul", [x], op="matmul", contracted=contracted)
    return call.step("matmul", [x], shape, "matmul", part=False, contracted=contracted)


def _transposed(call: Call, x: Tensor) -> Tensor:
    order = swapped(tuple(range(len(x.shape))))
    return call.step("transpose", [x], swapped(x.shape), "transpose", permutation=order)


def einsum(call: Call) -> bool:
    """A product of two operands, as transposes, reshapes and one matrix product."""
    operands = call.value("tensors")
    equation = call.value("equation")
    if not isinstance(equation, str) or not isinstance(operands, tuple) or len(operands) != 2:
        return False
    first, second = (_operand(call, item) for item in operands)
    if first is None or second is None:
        return False
    terms = _terms(equation, [first.shape, second.shape], call.meta().shape)
    if terms is None:
        return False
    a, b, out = terms
    if isinstance(first, Constant):  # the activation leads
        first, second, a, b = second, first, b, a
    assert isinstance(first, Tensor)
    return _contracted(call, first, second, a, b, out)


def _operand(call: Call, item: Value) -> Tensor | Constant | None:
    if not isinstance(item, Ref):
        return None
    return call.operand(item.name)


def _terms(equation: str, shapes: Sequence[Shape], output: Shape) -> list[str] | None:
    """The indices of both operands and of the output, or None where a rule does not cover them."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != 2:
        return None
    if not arrow:
        letters = sorted(set(left) - {",", "."})
        dots = "..." if "..." in left else ""
        right = dots + "".join(c for c in letters if left.count(c) == 1)
    dotted = [
        len(shape) - len(term.replace("...", ""))
        for term, shape in zip(inputs, shapes, strict=True)
    ]
    most = max((n for n, term in zip(dotted, inputs, strict=True) if "..." in term), default=0)
    spare = "0123456789"[:most]
    terms = [
        term.replace("...", spare[most - n :] if n > 0 else "")
        for term, n in zip(inputs, dotted, strict=True)
    ]
    terms.append(right.replace("...", spare))
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, [*shapes, output], strict=True):
        if len(term) != len(shape) or len(set(term)) != len(term):
            return None
        for index, size in zip(term, shape, strict=True):
            if sizes.setdefault(index, size) != size:
                return None  # broadcast
    a, b, out = terms
    alone = (set(a) ^ set(b)) - set(out)  # summed within one operand
    return None if alone or set(out) - set(a) - set(b) else terms


def _contracted(call: Call, x: Tensor, other: Tensor | Constant, a: str, b: str, out: str) -> bool:
    batch = [i for i in out if i in a and i in b]
    rows = [i for i in out if i in a and i not in b]
    columns = [i for i in out if i in b and i not in a]
    summed = [i for i in a if i not in out]
    sizes = {**dict(zip(a, x.shape, strict=True)), **dict(zip(b, other.shape, strict=True))}

    def size(indices: list[str]) -> int:
        return prod(sizes[i] for i in indices)

    outer = [sizes[i] for i in batch]
    left = _arranged(call, x, a, [*batch, *rows, *summed], [*outer, size(rows), size(summed)])
    product_shape = (*outer, size(rows), size(columns))
    if isinstance(other, Tensor):
        right = _arranged(
            call, other, b, [*batch, *summed, *columns], [*outer, size(summed), size(columns)]
        )
        product = call.step(
            "matmul",
            [left, right],
            product_shape,
            "matmul",
            part=False,
            contracted=size(summed),
        )
    elif batch:
        product = call.step(
            "matmul", [left], product_shape, "matmul", part=False, contracted=size(summed)
        )
    else:
        weight_shape = (size(columns), size(summed))
        product = call.step(
            "linear", [left], product_shape, "linear", part=False, weight_shape=weight_shape
        )
    made = [*batch, *rows, *columns]
    shape = tuple(sizes[i] for i in made)
    if product.shape != shape:
        product = call.step("reshape", [product], shape, "reshape")
    order = tuple(made.index(i) for i in out)
    if order != tuple(range(len(order))):
        product = call.step(
            "transpose", [product], call.meta().shape, "transpose", permutation=order
        )
    call.bind(product)
    return True


def _arranged(call: Call, x: Tensor, term: str, order: list[str], shape: Sequence[int]) -> Tensor:
    """The operand with its dimensions in this order, then in this shape."""
    permutation = tuple(term.index(i) for i in order)
    if permutation != tuple(range(len(permutation))):
        turned = tuple(x.shape[axis] for axis in permutation)
        x = call.step("transpose", [x], turned, "transpose", permutation=permutation)
    if x.shape != tuple(shape):
        x = call.step("reshape", [x], shape, "reshape")
    return x
