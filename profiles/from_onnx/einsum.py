"""Einsum of ONNX: two operands are a matrix product between transposes and reshapes."""

from __future__ import annotations

import re
from math import prod

from profiles.from_onnx.emitter import Constant, Emitter, Made, Node
from profiles.from_onnx.moves import reshaped, turned
from profiles.from_onnx.products import times
from profiles.graph import Tensor

Sizes = dict[str, int]
_SPARE = "".join(chr(code) for code in range(0x100, 0x140))  # names for the ellipsis' dimensions


def einsum(e: Emitter, node: Node) -> Made | None:
    """Every combination of all indices is one multiply-accumulate."""
    operands = [e.activation(node, p) or e.constant(node, p) for p in range(len(node.inputs))]
    given = [operand for operand in operands if operand is not None]
    output = e.output(node)
    terms = _terms(node.attributes.get("equation", b""), [operand.shape for operand in given])
    if terms is None or len(given) != len(operands):
        return None
    *read, made = terms
    sizes: Sizes = {}
    for term, operand in zip(read, given, strict=True):
        for index, size in zip(term, operand.shape, strict=True):
            if sizes.setdefault(index, size) != size:
                return None  # broadcast within an index: rare, and not worth a guess
    if tuple(sizes.get(index) for index in made) != output.shape:
        return None
    if len(given) == 1:
        return _rearranged(e, node, given[0], read[0], made, output)
    if len(given) == 2 and all(_is_plain(term, other, made) for term, other in _pairs(read)):
        return _product(e, node, given, read, made, sizes, output)
    weights = [operand for operand in given if isinstance(operand, Constant)]
    work = prod(sizes.values()) // output.elements
    return [
        e.emit(
            node,
            "matmul",
            e.activations(node),
            output,
            op="einsum",
            weights=weights,
            contracted=work,
        )
    ]


def _terms(equation: bytes, shapes: list[tuple[int, ...]]) -> list[str] | None:
    """One index per dimension of every operand and of the output; None if it makes no sense."""
    text = equation.decode(errors="replace").replace(" ", "")
    left, arrow, right = text.partition("->")
    read = left.split(",")
    if not re.fullmatch(r"[A-Za-z,.]*(->[A-Za-z.]*)?", text) or len(read) != len(shapes):
        return None
    open_ranks = [len(s) - len(t) + 3 for t, s in zip(read, shapes, strict=True) if "..." in t]
    rank = max(open_ranks, default=0)
    if len(set(open_ranks)) > 1 or not 0 <= rank <= len(_SPARE):
        return None
    spare = _SPARE[:rank]
    if not arrow:
        letters = left.replace(",", "").replace(".", "")
        once = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
        right = ("..." if open_ranks else "") + "".join(once)
    terms = [term.replace("...", spare) for term in (*read, right)]
    fits = all(len(t) == len(s) for t, s in zip(terms, shapes, strict=False))
    return terms if fits and not any("." in term for term in terms) else None


def _pairs(read: list[str]) -> list[tuple[str, str]]:
    return [(read[0], read[1]), (read[1], read[0])]


def _is_plain(term: str, other: str, made: str) -> bool:
    """No diagonal, and no index summed before the product."""
    return len(set(term)) == len(term) and set(term) <= set(other) | set(made)


def _rearranged(
    e: Emitter, node: Node, x: Tensor | Constant, read: str, made: str, output: Tensor
) -> Made | None:
    if not isinstance(x, Tensor) or len(set(read)) != len(read):
        return None
    if set(read) == set(made):
        order = tuple(read.index(index) for index in made)
        return [e.emit(node, "transpose", [x], output, op="transpose", permutation=order)]
    gone = tuple(axis for axis, index in enumerate(read) if index not in made)
    kept = "".join(index for index in read if index in made)
    if kept != made:
        return None
    return [e.emit(node, "reduce", [x], output, op="sum", axes=gone)]


def _product(
    e: Emitter,
    node: Node,
    given: list[Tensor | Constant],
    read: list[str],
    made: str,
    sizes: Sizes,
    output: Tensor,
) -> Made:
    """Bring both operands to (batch, rows, sum) and (batch, sum, columns)."""
    if isinstance(given[0], Constant):  # a weight comes second
        given, read = given[::-1], read[::-1]
    left, right = given
    a, b = read
    batch = [i for i in made if i in a and i in b]
    rows = [i for i in made if i in a and i not in b]
    columns = [i for i in made if i in b and i not in a]
    summed = [i for i in a if i in b and i not in made]

    def size(indices: list[str]) -> int:
        return prod(sizes[i] for i in indices)

    def formed(x: Tensor, term: str, *groups: list[str]) -> Tensor:
        wanted = [index for group in (batch, *groups) for index in group]
        order = tuple(term.index(index) for index in wanted)
        shape = (*(sizes[i] for i in batch), *(size(g) for g in groups))
        return reshaped(e, node, turned(e, node, x, order), shape)

    assert isinstance(left, Tensor)  # a node without activations is a constant
    first = formed(left, a, rows, summed)
    shape = (*(sizes[i] for i in batch), size(rows), size(columns))
    order_made = [*batch, *rows, *columns]
    direct = "".join(order_made) == made and shape == output.shape
    target = output if direct else e.like(output, shape, e.label(f"{node.label}:product"))
    if isinstance(right, Constant):
        weight_shape = (*(sizes[i] for i in batch), size(summed), size(columns))
        product = times(e, node, first, right, weight_shape, target)
    else:
        second = formed(right, b, summed, columns)
        product = e.emit(node, "matmul", [first, second], target, op="matmul")
    if direct:
        return [product]
    if "".join(order_made) == made:
        return [reshaped(e, node, product, output.shape, output)]
    product = reshaped(e, node, product, tuple(sizes[i] for i in order_made))
    return [turned(e, node, product, tuple(order_made.index(i) for i in made), output)]
