"""What single ATen operators mean to the planner.

A handler adds the operators that its call stands for and binds its outputs, and returns False
where the call is not of the form that it understands: that call is opaque, and the profile's
coverage names it.
"""

from __future__ import annotations

from collections.abc import Callable

from profiles.from_torch.attention import attention, recurrent
from profiles.from_torch.emitter import Call
from profiles.from_torch.movements import (
    concat,
    cut,
    moved,
    picked,
    pieces,
    repeat_interleave,
    same_or_cast,
    shaped_like,
    shuffle,
    stack,
    transpose,
)
from profiles.from_torch.ops import CREATED, ELEMENTWISE, GATHERS, REDUCTIONS, UNARY, shown_name
from profiles.from_torch.products import added, einsum, linear, matmul
from profiles.graph import Kind, Tensor

Handler = Callable[[Call], bool]


def _conv(call: Call) -> bool:
    x, weight = call.tensor("input"), call.constant("weight")
    if x is None or weight is None or call.tensor("bias") is not None:
        return False
    output = call.meta().shape
    groups = call.integer("groups", 1)
    transposed = call.value("transposed") is True or call.base.startswith("conv_transpose")
    if groups < 1 or len(x.shape) != len(weight.shape) or len(output) != len(x.shape):
        return _unbatched_conv(call, x, weight.shape, groups, transposed)
    if len(x.shape) < 3:
        return False
    first, second = weight.shape[0], weight.shape[1] * groups
    read, made = (first, second) if transposed else (second, first)
    if x.shape[1] != read or output[1] != made:
        return False
    kind: Kind = "conv_transpose" if transposed else "conv"
    call.emit(kind, [x], op=kind, weight_shape=weight.shape, groups=groups)
    return True


def _unbatched_conv(
    call: Call, x: Tensor, weight: tuple[int, ...], groups: int, transposed: bool
) -> bool:
    """A convolution of one input without its batch dimension."""
    output = call.meta().shape
    if groups < 1 or len(x.shape) != len(weight) - 1 or len(output) != len(x.shape):
        return False
    kind: Kind = "conv_transpose" if transposed else "conv"
    batch = call.step("reshape", [x], (1, *x.shape), "reshape")
    made = call.step(
        kind, [batch], (1, *output), kind, part=False, weight_shape=weight, groups=groups
    )
    call.emit("reshape", [made], op="reshape", part=True)
    return True


def _embedding(call: Call) -> bool:
    table = call.constant("weight")
    indices = call.tensor("indices")
    if table is None or indices is None:
        return False
    call.emit("embedding", call.activations, op=call.base.strip("_"), weight_shape=table.shape)
    return True


def _batch_norm(call: Call) -> bool:
    x = call.tensor("input")
    if x is None or len(call.activations) > 1:
        return False
    call.emit("batch_norm", [x], op="batch_norm")
    return True


def _norm(call: Call) -> bool:
    x = call.tensor("input")
    if x is None or len(call.activations) > 1:
        return False
    rank = len(x.shape)
    op, groups = shown_name(call.base), 1
    if op == "instance_norm":
        axes = tuple(range(2, rank))
    elif op == "group_norm":
        axes = tuple(range(1, rank))
        groups = call.integer("num_groups", call.integer("group", 1))
    else:
        axes = tuple(range(rank - len(call.integers("normalized_shape") or (0,)), rank))
    call.emit("norm", [x], op=op, axes=axes, groups=groups)
    return True


def _softmax(call: Call) -> bool:
    x = call.tensor("self")
    if x is None:
        return False
    axis = call.integer("dim", -1) % max(len(x.shape), 1)
    call.emit("softmax", [x], op=shown_name(call.base), axes=(axis,))
    return True


def _reduce(call: Call) -> bool:
    x = call.tensor("self")
    if x is None or len(call.activations) > 1:
        return _pair(call)
    rank = max(len(x.shape), 1)
    dims = call.integers("dim")
    axes = tuple(sorted({axis % rank for axis in dims or ()})) or tuple(range(rank))
    for position in call.used:
        call.emit("reduce", [x], op=call.base, position=position, axes=axes)
    return True


def _pair(call: Call) -> bool:
    """``max`` and ``min`` of two tensors."""
    if call.base not in ("max", "min"):
        return False
    call.emit("elementwise", call.activations)
    return True


def _glu(call: Call) -> bool:
    x = call.tensor("self")
    if x is None:
        return False
    axis = call.integer("dim", -1) % len(x.shape)
    shape = call.meta().shape
    value, gate = (
        call.step("slice", [x], shape, "slice", axes=(axis,), start=start)
        for start in (0, shape[axis])
    )
    opened = call.step("activation", [gate], shape, "sigmoid")
    call.emit("elementwise", [value, opened], op="glu")
    return True


COUNTED: dict[str, Handler] = {
    **dict.fromkeys(
        (
            "_convolution _convolution_mode conv1d conv2d conv3d conv_transpose1d "
            "conv_transpose2d conv_transpose3d convolution"
        ).split(),
        _conv,
    ),
    "linear": linear,
    **dict.fromkeys("bmm dot mm matmul mv".split(), matmul),
    **dict.fromkeys("addmm addmv baddbmm".split(), added),
    "einsum": einsum,
    **dict.fromkeys(
        (
            "scaled_dot_product_attention _scaled_dot_product_flash_attention "
            "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention "
            "_scaled_dot_product_cudnn_attention _scaled_dot_product_attention_math"
        ).split(),
        attention,
    ),
    **dict.fromkeys(
        "gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell".split(),
        recurrent,
    ),
}
"""Operators with multiply-accumulates."""

_FREE: dict[str, Handler] = {
    **dict.fromkeys("embedding embedding_bag _embedding_bag".split(), _embedding),
    **dict.fromkeys(
        (
            "batch_norm cudnn_batch_norm native_batch_norm _native_batch_norm_legit "
            "_native_batch_norm_legit_no_training"
        ).split(),
        _batch_norm,
    ),
    **dict.fromkeys(
        (
            "group_norm instance_norm layer_norm native_group_norm native_layer_norm rms_norm "
            "_fused_rms_norm"
        ).split(),
        _norm,
    ),
    **dict.fromkeys("softmax _softmax log_softmax _log_softmax _safe_softmax".split(), _softmax),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys("cat concat concatenate".split(), concat),
    "stack": stack,
    **dict.fromkeys(
        (
            "chunk hsplit split split_copy split_with_sizes split_with_sizes_copy tensor_split "
            "unbind unbind_copy unsafe_chunk unsafe_split unsafe_split_with_sizes vsplit"
        ).split(),
        pieces,
    ),
    **dict.fromkeys("narrow select select_copy slice slice_copy".split(), cut),
    **dict.fromkeys("index index_select".split(), picked),
    **dict.fromkeys(
        (
            "adjoint mH mT matrix_H moveaxis movedim numpy_T permute permute_copy swapaxes "
            "swapdims t transpose transpose_copy"
        ).split(),
        transpose,
    ),
    **dict.fromkeys("flip fliplr flipud roll".split(), moved),
    "repeat_interleave": repeat_interleave,
    **dict.fromkeys("channel_shuffle pixel_shuffle pixel_unshuffle".split(), shuffle),
    "glu": _glu,
    **dict.fromkeys("copy to type_as".split(), same_or_cast),
    **dict.fromkeys("expand_as reshape_as view_as".split(), shaped_like),
}

HANDLERS = {**COUNTED, **_FREE}


def is_free(base: str) -> bool:
    """Whether the operator of that name is known to have no multiply-accumulates."""
    return (
        base in _FREE
        or base in UNARY
        or base in ELEMENTWISE
        or base in GATHERS
        or base in CREATED
        or "upsample_" in base
    )
