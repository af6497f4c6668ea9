"""ATen operators by kind: those that need no more than a table (the rest: `handlers`).

Names are without namespace, overload and the underscore of calls that work in place.
"""

from __future__ import annotations

from profiles.graph import Kind

UNARY: dict[str, Kind] = {
    **dict.fromkeys(
        (
            "abs acos acosh alpha_dropout angle asin asinh atan atanh bernoulli bitwise_not ceil "
            "celu clamp clamp_max clamp_min clip cos cosh deg2rad elu erf erfc erfinv exp exp2 "
            "expm1 fix floor frac gelu hardshrink hardsigmoid hardswish hardtanh isfinite isinf "
            "isnan leaky_relu lgamma log log10 log1p log2 log_sigmoid logical_not logit mish "
            "nan_to_num neg negative positive rad2deg reciprocal relu relu6 round rrelu rsqrt "
            "selu sgn sigmoid sign silu sin sinc sinh softplus softshrink sqrt square tan tanh "
            "tanhshrink threshold trunc"
        ).split(),
        "activation",
    ),
    **dict.fromkeys(
        (
            "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
            "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d "
            "avg_pool1d avg_pool2d avg_pool3d fractional_max_pool2d fractional_max_pool3d "
            "max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d "
            "max_pool3d_with_indices mkldnn_max_pool2d quantized_max_pool2d"
        ).split(),
        "pool",
    ),
    **dict.fromkeys(
        (
            "_reshape_alias _unsafe_view flatten ravel reshape "
            "squeeze squeeze_copy unflatten unsqueeze unsqueeze_copy view view_copy"
        ).split(),
        "reshape",
    ),
    # All of these leave the features where they are or, seen by their sizes, run on one node.
    **dict.fromkeys(
        (
            "_conj _to_copy alias alias_copy clone constant_pad_nd contiguous detach detach_copy "
            "dropout feature_alpha_dropout feature_dropout lift lift_fresh "
            "lift_fresh_copy native_dropout pad reflection_pad1d reflection_pad2d "
            "reflection_pad3d repeat replication_pad1d replication_pad2d replication_pad3d "
            "resolve_conj resolve_neg tile tril triu"
        ).split(),
        "identity",
    ),
}
"""Operators that read one activation."""

ELEMENTWISE = frozenset(
    (
        "__and__ __lshift__ __or__ __rshift__ __xor__ _weight_norm _weight_norm_interface add "
        "addcdiv addcmul and atan2 bitwise_and "
        "bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign div "
        "divide eq expand expand_copy fake_quantize_per_channel_affine "
        "fake_quantize_per_tensor_affine floor_divide fmax fmin fmod ge "
        "greater greater_equal gt heaviside hypot le lerp less less_equal logaddexp logaddexp2 "
        "logical_and logical_or logical_xor lt masked_fill maximum minimum mul multiply ne "
        "not_equal pow prelu _prelu_kernel remainder rsub sub subtract true_divide where xlogy"
    ).split()
)
"""Operators on any number of activations, element by element."""

REDUCTIONS = frozenset(
    (
        "all amax amin any argmax argmin count_nonzero frobenius_norm linalg_vector_norm "
        "logsumexp max mean median min mode nanmean nansum norm nuclear_norm prod std std_mean "
        "sum var var_mean"
    ).split()
)

CREATED = frozenset(
    (
        "empty_like fill full_like new_empty new_full new_ones new_zeros ones_like rand_like "
        "randint_like randn_like zero zeros_like"
    ).split()
)
"""Operators that take shape and type of an activation, and none of its values."""

LIKE_ANOTHER = frozenset({"expand_as", "reshape_as", "to", "type_as", "view_as"})
"""Operators that take type or shape of their second operand, and no values."""

GATHERS = frozenset(
    (
        "_unique2 affine_grid_generator argsort as_strided bincount block_diag bucketize "
        "cartesian_prod col2im combinations complex cross cross_entropy_loss cummax cummin "
        "cumprod cumsum diag diag_embed diagonal gather grid_sampler grid_sampler_2d "
        "grid_sampler_3d histc im2col imag index index_add index_copy index_fill index_put "
        "index_select isin kron kthvalue linalg_cross linalg_diagonal logcumsumexp masked_scatter "
        "masked_select meshgrid multinomial native_channel_shuffle nll_loss nonzero one_hot polar "
        "put quantile real renorm rot90 scatter scatter_add scatter_reduce searchsorted "
        "select_scatter slice_scatter sort take take_along_dim topk trace unfold "
        "unique_consecutive unique_dim view_as_complex view_as_real"
    ).split()
)
"""Operators that move or choose elements in ways that no rule follows: free, on one node."""

VIEWS = frozenset(
    (
        "alias chunk detach diagonal expand flatten mT movedim narrow permute reshape select slice "
        "split split_with_sizes squeeze swapaxes t transpose unbind unflatten unsqueeze view"
    ).split()
)
"""Operators whose result looks at their first argument's memory: writing to one writes to both."""

SHOWN = {
    "cat": "concat",
    "concat": "concat",
    "concatenate": "concat",
    "native_layer_norm": "layer_norm",
    "_fused_rms_norm": "rms_norm",
    "native_group_norm": "group_norm",
    "native_batch_norm": "batch_norm",
    "_native_batch_norm_legit": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
    "cudnn_batch_norm": "batch_norm",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "max_pool2d_with_indices": "max_pool2d",
    **dict.fromkeys((name for name, kind in UNARY.items() if kind == "reshape"), "reshape"),
}
"""Names that a profile shows, where they are not the operator's own."""


def shown_name(base: str) -> str:
    """The name that a profile shows."""
    return "upsample" if "upsample_" in base else SHOWN.get(base, base)


UNCHANGING = frozenset({"dropout", "alpha_dropout", "feature_dropout"})
"""Operators that change nothing in evaluation mode, even in place."""
