"""ATen operators by kind: what torch.export's graph means to the planner."""

from __future__ import annotations

from profiles.graph import Kind

ATEN_KINDS: dict[str, tuple[Kind, str]] = {
    **{
        name: ("conv", "conv")
        for name in ("conv1d", "conv2d", "conv3d", "convolution", "conv2d.padding", "conv1d.padding")
    },
    "conv_transpose1d": ("conv_transpose", "conv_transpose"),
    "conv_transpose2d.input": ("conv_transpose", "conv_transpose"),
    "conv_transpose3d.input": ("conv_transpose", "conv_transpose"),
    "linear": ("linear", "linear"),
    "matmul": ("matmul", "matmul"),
    "bmm": ("matmul", "matmul"),
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
    **{name: ("pool", "upsample") for name in ("upsample_nearest2d.vec", "upsample_bilinear2d.vec")},
    "mean.dim": ("reduce", "mean"),
    "sum.dim_IntList": ("reduce", "sum"),
    "cat": ("concat", "concat"),
    "slice.Tensor": ("slice", "slice"),
    **{
        name: ("reshape", "reshape")
        for name in (
            "flatten.using_ints view reshape unsqueeze squeeze.dim squeeze.dims _unsafe_view"
        ).split()
    },
    "transpose.int": ("transpose", "transpose"),
    "permute": ("transpose", "transpose"),
    **{
        name: ("identity", name)
        for name in "dropout dropout_ clone contiguous alias detach pad _to_copy".split()
    },
}


def aten_name(target: object) -> str:
    """``aten.add_.Tensor`` as ``add_.Tensor``, ``aten.relu.default`` as ``relu``."""
    return str(target).removeprefix("aten.").removesuffix(".default")
