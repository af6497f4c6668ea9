"""ATen operators by kind: what torch.export's graph means to the planner."""

from __future__ import annotations

from typing import Any

from profiles.graph import Kind

ATEN_KINDS: dict[str, tuple[Kind, str]] = {
    **{
        name: ("conv", "conv")
        for name in (
            "conv1d conv2d conv3d convolution conv1d.padding conv2d.padding conv3d.padding"
        ).split()
    },
    "conv_transpose1d": ("conv_transpose", "conv_transpose"),
    "conv_transpose2d.input": ("conv_transpose", "conv_transpose"),
    "conv_transpose3d.input": ("conv_transpose", "conv_transpose"),
    "linear": ("linear", "linear"),
    **{name: ("matmul", "matmul") for name in ("matmul", "bmm", "mm", "addmm")},
    "scaled_dot_product_attention": ("attention", "attention"),
    "embedding": ("embedding", "embedding"),
    **{
        name: ("batch_norm", "batch_norm")
        for name in ("batch_norm", "_native_batch_norm_legit_no_training")
    },
    "layer_norm": ("norm", "layer_norm"),
    "softmax.int": ("softmax", "softmax"),
    "_softmax": ("softmax", "softmax"),
    **{
        name: ("activation", name.rstrip("_"))
        for name in (
            "relu relu_ gelu silu silu_ sigmoid tanh hardtanh hardtanh_ hardswish hardswish_ "
            "hardsigmoid leaky_relu leaky_relu_ elu mish clamp exp sqrt rsqrt neg abs relu6"
        ).split()
    },
    **{
        name: ("elementwise", name.split(".")[0].rstrip("_"))
        for name in (
            "add.Tensor add_.Tensor sub.Tensor mul.Tensor mul_.Tensor div.Tensor "
            "pow.Tensor_Scalar maximum minimum"
        ).split()
    },
    **{
        name: ("pool", name)
        for name in (
            "max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d max_pool1d "
            "avg_pool1d adaptive_avg_pool1d"
        ).split()
    },
    **{
        name: ("pool", "upsample") for name in ("upsample_nearest2d.vec", "upsample_bilinear2d.vec")
    },
    **{name: ("reduce", "mean") for name in ("mean", "mean.dim")},
    **{name: ("reduce", "sum") for name in ("sum", "sum.dim_IntList")},
    "cat": ("concat", "concat"),
    "slice.Tensor": ("slice", "slice"),
    "select.int": ("slice", "select"),
    **{
        name: ("reshape", "reshape")
        for name in (
            "flatten.using_ints unflatten.int view reshape unsqueeze squeeze.dim squeeze.dims "
            "_unsafe_view"
        ).split()
    },
    "transpose.int": ("transpose", "transpose"),
    "permute": ("transpose", "transpose"),
    **{
        name: ("identity", name)
        for name in "dropout dropout_ clone contiguous alias detach pad roll _to_copy".split()
    },
}

WEIGHT_POSITION = {"conv": 1, "conv_transpose": 1, "linear": 1, "embedding": 0}
"""Where an ATen call holds its weight; the bias, if any, comes later."""


def aten_name(target: object) -> str:
    """``aten.add_.Tensor`` as ``add_.Tensor``, ``aten.relu.default`` as ``relu``."""
    return str(target).removeprefix("aten.").removesuffix(".default")


def attributes(kind: Kind, node: Any) -> dict[str, Any]:
    """Groups, axes and the like, from an ATen call's positional arguments."""
    aten = aten_name(node.target)
    rank = len(node.args[0].meta["val"].shape) if hasattr(node.args[0], "meta") else 0

    def argument(position: int, default: Any) -> Any:
        return node.args[position] if len(node.args) > position else default

    def axis(value: int) -> int:
        return value % rank if rank else 0

    if kind == "conv":
        return {"groups": int(argument(8 if aten == "convolution" else 6, 1))}
    if kind == "conv_transpose":
        return {"groups": int(argument(6, 1))}
    if kind == "norm":
        return {"axes": tuple(range(rank - len(argument(1, [0])), rank))}
    if kind == "softmax":
        return {"axes": (axis(argument(1, -1)),)}
    if kind == "reduce":
        dims = argument(1, None)
        return {"axes": tuple(axis(d) for d in dims) if dims else tuple(range(rank))}
    if kind == "concat":
        first = node.args[0][0].meta["val"]
        return {"axes": (argument(1, 0) % len(first.shape),)}
    if kind == "slice":
        start = argument(2, 0) or 0
        return {"axes": (axis(argument(1, 0)),), "start": int(start) if argument(4, 1) == 1 else -1}
    if aten == "roll":
        dims = argument(2, None)
        return {"axes": tuple(axis(d) for d in dims) if dims else tuple(range(rank))}
    if aten == "transpose.int":
        order = list(range(rank))
        a, b = axis(node.args[1]), axis(node.args[2])
        order[a], order[b] = order[b], order[a]
        return {"permutation": tuple(order)}
    if aten == "permute":
        return {"permutation": tuple(axis(d) for d in node.args[1])}
    return {}
