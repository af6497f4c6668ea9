"""What single ATen operators mean to the planner.

A handler translates a call's arguments for `profiles.meanings`. Where the call is not of the form
that it understands it raises `UnknownFormError`: that call is opaque, and the profile's coverage
names it.
"""

from __future__ import annotations

from collections.abc import Callable

from planner.errors import BadInputError
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
from profiles.from_torch.ops import CREATED, ELEMENTWISE, GATHERS, REDUCTIONS, UNARY
from profiles.from_torch.products import (
    addbmm,
    attention,
    bilinear,
    chain,
    conv,
    distances,
    einsum,
    flex,
    fourier,
    grouped,
    inner,
    linear,
    matmul,
    outer,
    recurrent,
    tensordot,
    vecdot,
)
from profiles.from_torch.spans import spans_of
from profiles.meanings import elements, layers
from profiles.meanings.call import UnknownFormError, require
from profiles.meanings.moves import part
from profiles.meanings.spans import across

Handler = Callable[[Call], None]


def opaque(call: Call) -> None:
    """Keep an operator that runs on one node: its work is not counted, its weights are."""
    call.add_all("opaque", call.base)


def simple(call: Call) -> None:
    """Translate a call that needs no more than a table."""
    inputs = call.activations
    if call.base in ELEMENTWISE or (call.base in UNARY and len(inputs) > 1):
        call.add("elementwise", inputs, weights=call.constants)
    elif call.base in UNARY or call.base in GATHERS:
        call.add_all(UNARY.get(call.base, "gather"), spans=spans_of(call))
    else:
        require("upsample_" in call.base)
        call.add("pool", inputs[:1], weights=call.constants, spans=spans_of(call))


def _embedding(call: Call) -> None:
    table, _ = call.weight("weight"), call.data("indices")
    layers.embedding(call, call.activations, table, call.base.strip("_"))


def _batch_norm(call: Call) -> None:
    x = call.data("input")
    require(len(call.activations) == 1)
    spans = across(len(x.shape)) if call.value("training") is True else ()
    call.add("batch_norm", [x], weights=call.constants, spans=spans)


def _norm(call: Call) -> None:
    x = call.data("input")
    require(len(call.activations) == 1)
    first = -len(call.integers("normalized_shape") or (0,))
    groups = call.integer("num_groups", call.integer("group", 1)) if "group" in call.base else 1
    elements.norm(call, x, call.op, first=first, groups=groups, weights=call.constants)


def _softmax(call: Call) -> None:
    elements.softmax(call, call.data("self"), call.integer("dim", -1))


def _reduce(call: Call) -> None:
    x = call.tensor("self")
    if x is not None and len(call.activations) == 1:
        elements.reduce(call, x, call.integers("dim") or (), call.used)
    else:
        require(call.base in ("max", "min"))  # of two tensors
        call.add("elementwise", call.activations, weights=call.constants)


def _glu(call: Call) -> None:
    x = call.data("self")
    axis = call.integer("dim", -1) % len(x.shape)
    half = call.output().shape[axis]
    value, gate = (part(call, x, axis, start, half) for start in (0, half))
    opened = call.add("activation", [gate], "sigmoid", shape=gate.shape, step="sigmoid")
    call.add("elementwise", [value, opened])


COUNTED: dict[str, Handler] = {
    **dict.fromkeys(
        (
            "_convolution _convolution_mode conv1d conv2d conv3d conv_transpose1d "
            "conv_transpose2d conv_transpose3d convolution"
        ).split(),
        conv,
    ),
    "linear": linear,
    **dict.fromkeys(
        "addmm addmv baddbmm bmm dot mm matmul mv _int_mm _scaled_mm".split(),
        matmul,
    ),
    **dict.fromkeys("chain_matmul linalg_multi_dot".split(), chain),
    "tensordot": tensordot,
    **dict.fromkeys("addr ger outer".split(), outer),
    "inner": inner,
    "linalg_vecdot": vecdot,
    "addbmm": addbmm,
    "bilinear": bilinear,
    **dict.fromkeys("cdist _cdist_forward _euclidean_dist".split(), distances),
    **dict.fromkeys("_grouped_mm transformers.grouped_mm_fallback".split(), grouped),
    "flex_attention": flex,
    **dict.fromkeys(
        (
            "fft_fft fft_fft2 fft_fftn fft_hfft fft_ifft fft_ifft2 fft_ifftn fft_ihfft fft_irfft "
            "fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn _fft_c2c _fft_c2r _fft_r2c istft "
            "stft"
        ).split(),
        fourier,
    ),
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


def understood(call: Call, handler: Handler) -> bool:
    """Let a handler translate a call; whether the call has a form that it knows.

    Raises
    ------
    BadInputError
        The call's arguments do not fit each other.
    """
    try:
        handler(call)
    except UnknownFormError:
        return False
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise BadInputError(
            f"node {call.name!r} ({call.source}) has arguments that do not fit each other"
        ) from error
    return True


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
