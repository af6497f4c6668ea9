"""Operators of ATen with multiply-accumulates."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from string import ascii_letters

from profiles.from_torch.emitter import Call
from profiles.from_torch.spans import convolved
from profiles.meanings import attention as heads
from profiles.meanings import einsum as meaning
from profiles.meanings import layers
from profiles.meanings.call import Constant, require
from profiles.meanings.products import product

_FACTORS = {
    **dict.fromkeys(("bmm", "mm"), ("self", "mat2")),
    "mv": ("self", "vec"),
    "dot": ("self", "tensor"),
    "matmul": ("self", "other"),
    "addmm": ("mat1", "mat2"),
    "addmv": ("mat", "vec"),
    "baddbmm": ("batch1", "batch2"),
    **dict.fromkeys(("_int_mm", "_scaled_mm"), ("self", "mat2")),
}


def linear(call: Call) -> None:
    """``x · Wᵀ + b``."""
    x, weight = call.data("input"), call.operand("weight")
    require(call.tensor("bias") is None)
    if call.output().shape != (*x.shape[:-1], *weight.shape[:-1]):
        raise ValueError("shapes")
    product(call, x, weight, turn=(False, True), weights=call.constants)


def matmul(call: Call) -> None:
    """``A · B``, and ``β · C + α · A · B``."""
    left, right = (call.operand(name) for name in _FACTORS[call.base])
    term = call.tensor("self") if call.base in ("addmm", "addmv", "baddbmm") else None
    product(call, left, right, term=term, weights=call.constants)


def einsum(call: Call) -> None:
    """A product of any number of operands."""
    meaning.einsum(call, str(call.value("equation")), call.operands("tensors"))


def _indices(rank: int, first: int = 0) -> str:
    return ascii_letters[first : first + rank]


def chain(call: Call) -> None:
    """``linalg.multi_dot``: matrices in the order that needs the fewest products, as torch does."""
    matrices = call.operands("matrices" if call.base == "chain_matmul" else "tensors")
    require(1 < len(matrices) < len(ascii_letters))
    terms = [_indices(2, place) for place in range(len(matrices))]
    if len(matrices[0].shape) == 1:
        terms[0] = terms[0][1:]
    if len(matrices[-1].shape) == 1:
        terms[-1] = terms[-1][:1]
    made = "".join(i for i in (terms[0] + terms[-1]) if sum(i in term for term in terms) == 1)
    rows = [item.shape[0] if len(item.shape) > 1 else 1 for item in matrices[:1]]
    inner = [item.shape[0] for item in matrices[1:]]
    columns = [matrices[-1].shape[1] if len(matrices[-1].shape) > 1 else 1]
    pairs = cheapest_pairs([*rows, *inner, *columns])
    meaning.einsum(call, f"{','.join(terms)}->{made}", matrices, pairs)


def cheapest_pairs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """In which pairs a chain of matrices is multiplied with the fewest multiply-accumulates.

    Parameters
    ----------
    sizes : sequence of int
        The rows of the first matrix, then the columns of every one.

    Returns
    -------
    list of (int, int)
        Places in what is left of the chain, as `profiles.meanings.einsum.einsum` takes them.
    """
    count = len(sizes) - 1
    best: dict[tuple[int, int], tuple[int, int]] = {(n, n): (0, n) for n in range(count)}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            best[first, last] = min(
                (
                    best[first, cut][0]
                    + best[cut + 1, last][0]
                    + sizes[first] * sizes[cut + 1] * sizes[last + 1],
                    cut,
                )
                for cut in range(first, last)
            )
    left = list(range(count))  # the first matrix of every product that is left
    pairs = []

    def multiply(first: int, last: int) -> None:
        if first < last:
            cut = best[first, last][1]
            multiply(first, cut)
            multiply(cut + 1, last)
            place = left.index(first)
            pairs.append((place, place + 1))
            left.remove(cut + 1)

    multiply(0, count - 1)
    return pairs


def tensordot(call: Call) -> None:
    """A sum over any dimensions of both."""
    a, b = call.operand("self"), call.operand("other")
    summed, met = call.integers("dims_self"), call.integers("dims_other")
    require(summed is not None and met is not None and len(summed) == len(met))
    assert summed is not None and met is not None
    left, right = len(a.shape), len(b.shape)
    require(left + right <= len(ascii_letters))
    first, second = _indices(left), [*_indices(right, left)]
    for axis, other in zip(summed, met, strict=True):
        second[other % right] = first[axis % left]
    made = [i for i in first if i not in second] + [i for i in second if i not in first]
    meaning.einsum(call, f"{first},{''.join(second)}->{''.join(made)}", [a, b])


def outer(call: Call) -> None:
    """Every element of one vector times every one of another; ``addr`` adds a matrix."""
    names = ("vec1", "vec2") if call.base == "addr" else ("self", "vec2")
    _contracted(call, "a,b->ab", names, term="self" if call.base == "addr" else "")


def inner(call: Call) -> None:
    """The last dimensions of both, summed over."""
    a, b = call.operand("self"), call.operand("other")
    require(bool(a.shape and b.shape) and len(a.shape) + len(b.shape) < len(ascii_letters))
    first, second = _indices(len(a.shape)), _indices(len(b.shape) - 1, len(a.shape))
    meaning.einsum(call, f"{first},{second}{first[-1]}->{first[:-1]}{second}", [a, b])


def vecdot(call: Call) -> None:
    """Products along one dimension."""
    require(call.integer("dim", -1) in (-1, len(call.operand("x").shape) - 1))
    _contracted(call, "...a,...a->...", ("x", "y"))


def addbmm(call: Call) -> None:
    """A batch of products, summed, and a matrix."""
    _contracted(call, "zab,zbc->ac", ("batch1", "batch2"), term="self")


def bilinear(call: Call) -> None:
    """``x · W · y``: the first with the weight, what that gives with the second."""
    _contracted(call, "...i,oij,...j->...o", ("input1", "weight", "input2"), term="bias")


def distances(call: Call) -> None:
    """Distances of all pairs of points: one multiply-accumulate for each of their coordinates."""
    _contracted(call, "...ac,...bc->...ab", ("x1", "x2"))


def _contracted(call: Call, equation: str, names: Sequence[str], term: str = "") -> None:
    """An einsum, and a term that is added to it."""
    meaning.einsum(call, equation, [call.operand(name) for name in names])
    added, weight = call.tensor(term), call.constant(term)
    if added is not None or weight is not None:
        inputs = [call.made[0], *([] if added is None else [added])]
        weights = [] if weight is None else [weight]
        call.add("elementwise", inputs, "add", step="add", weights=weights)


def grouped(call: Call) -> None:
    """Rows sorted by experts, every one times its own expert's matrix.

    Which rows have which expert follows from the data, how much work it is does not.
    """
    names = ("input", "weight") if "." in call.base else ("self", "mat2")
    x, weight = call.data(names[0]), call.operand(names[1])
    require(len(x.shape) == 2 and len(weight.shape) == 3 and x.shape[1] == weight.shape[1])
    experts, inputs, outputs = weight.shape
    others = [tensor for tensor in call.activations if tensor != x]
    if isinstance(weight, Constant):
        call.add(
            "linear",
            [x, *others],
            "linear",
            weights=call.constants,
            weight_shape=(outputs, inputs, experts),
        )
    else:
        call.add("matmul", [x, *others], "matmul", weights=call.constants)


def flex(call: Call) -> None:
    """Attention with scores that a function changes; blocks that a mask leaves out are counted."""
    query, key, value = (call.operand(name) for name in ("0", "1", "2"))
    require(min(len(item.shape) for item in (query, key, value)) > 1)
    heads.attention(call, query, key, value, [], call.constants)


def fourier(call: Call) -> None:
    """A fast Fourier transform: n·log2 n for n elements; that is assumed."""
    x = call.tensor("self") or call.data("input")
    made = call.output().shape
    if call.base == "stft":
        size = call.integer("n_fft", 0)
        count = prod(made) // max(made[_frequencies(call, len(made))], 1)
    elif call.base == "istft":
        size = call.integer("n_fft", 0)
        count = x.elements // max(x.shape[-2], 1)
    else:
        sides = [max(a, b) for a, b in zip(x.shape, made, strict=True)]
        size = prod(sides[axis] for axis in _transformed(call, len(sides)))
        count = prod(sides) // max(size, 1)
    require(size > 0)
    call.assume(f"{call.op} counted as n·log2 n multiply-accumulates")
    layers.fourier(call, x, count, size, call.constants)


def _frequencies(call: Call, rank: int) -> int:
    """The dimension of an STFT's output that holds frequencies."""
    return rank - 2 if call.output().dtype.startswith("complex") else rank - 3


def _transformed(call: Call, rank: int) -> list[int]:
    """The dimensions of a Fourier transform."""
    given = call.integers("dim") if call.value("dim") is not None else None
    if given is None:
        name = call.base
        count = 2 if name.endswith("2") else rank if name.endswith("n") else 1
        given = tuple(range(-count, 0))
    return [axis % rank for axis in given]


def conv(call: Call) -> None:
    """A convolution, transposed or not."""
    require(call.tensor("bias") is None)
    filters = call.operand("weight")
    transposed = call.value("transposed") is True or call.base.startswith("conv_transpose")
    layers.convolution(
        call,
        call.data("input"),
        filters,
        groups=call.integer("groups", 1),
        transposed=transposed,
        weights=call.constants,
        windows=convolved(call, filters.shape[2:], transposed),
    )


def attention(call: Call) -> None:
    """Softmax(q kᵀ) v."""
    query, key, value = (call.operand(name) for name in ("query", "key", "value"))
    require(min(len(item.shape) for item in (query, key, value)) > 1)
    mask = call.tensor("attn_mask") or call.tensor("attn_bias")
    masks = [] if mask is None else [mask]
    heads.attention(call, query, key, value, masks, call.constants)


def recurrent(call: Call) -> None:
    """LSTM, GRU or RNN, whole or one cell."""
    x = call.tensor("input") or call.data("data")
    cell = call.base.endswith("_cell")
    weights = [call.operand(n) for n in ("w_ih", "w_hh")] if cell else call.operands("params")
    matrices = [weight.shape for weight in weights if len(weight.shape) == 2]
    require(bool(x.shape and matrices) and all(isinstance(item, Constant) for item in weights))
    states = [tensor for tensor in call.activations if tensor != x]
    sequences: int | None = 0 if call.value("batch_first") is True else 1
    if cell or len(x.shape) < 3 or call.tensor("data") is not None:
        sequences = 0 if cell and len(x.shape) == 2 else None
    made = layers.recurrent(
        call, x, states, matrices, call.base, sequences=sequences, weights=call.constants
    )
    for position in call.used:
        if position:  # the last states, which the same node holds
            call.add("gather", [made], "final_state", position=position, step="final_state")
