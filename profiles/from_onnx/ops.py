"""ONNX operators by kind: those that need no more than a table (the rest: `handlers`)."""

from __future__ import annotations

import re

from profiles.graph import Kind

SIMPLE_KINDS: dict[str, Kind] = {
    **dict.fromkeys(
        (
            "Abs Acos Acosh Asin Asinh Atan Atanh Bernoulli BitwiseNot Ceil Celu Clip Cos Cosh "
            "Elu Erf Exp Floor Gelu HardSigmoid HardSwish IsInf IsNaN LeakyRelu Log Mish Neg Not "
            "PRelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt "
            "Swish Tan Tanh ThresholdedRelu"
        ).split(),
        "activation",
    ),
    **dict.fromkeys(
        (
            "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual "
            "Less LessOrEqual Max Mean Min Mod Mul Or Pow Sub Sum Where Xor"
        ).split(),
        "elementwise",
    ),
    **dict.fromkeys(
        ("AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool Resize Upsample").split(),
        "pool",
    ),
    **dict.fromkeys("Flatten Reshape Squeeze Unsqueeze".split(), "reshape"),
    # All of these leave the features where they are or, seen by their sizes, run on one node.
    **dict.fromkeys(
        (
            "Cast CastLike CenterCropPad DequantizeLinear Dropout Expand Identity Pad "
            "QuantizeLinear Tile Trilu"
        ).split(),
        "identity",
    ),
    **dict.fromkeys(
        (
            "com.microsoft.BiasGelu com.microsoft.FastGelu com.microsoft.Gelu "
            "com.microsoft.QLinearLeakyRelu com.microsoft.QLinearSigmoid com.microsoft.QuickGelu"
        ).split(),
        "activation",
    ),
}
"""Kinds of the operators whose shapes say all that the planner needs."""

AXES = {"CumProd": 0, "CumSum": 0, "GatherElements": 0, "TopK": -1}
"""Operators that work along a dimension, with the one that they take by default."""

MOVES = frozenset(
    "Col2Im Compress EyeLike GatherND NonZero OneHot RandomNormalLike RandomUniformLike Range "
    "ReverseSequence Scatter ScatterElements ScatterND TensorScatter Unique".split()
)
"""Operators that put numbers elsewhere by computed indices."""

WEIGHTLESS = frozenset(
    "Cast CastLike Clip DequantizeLinear Dropout Expand Flatten Identity Pad QuantizeLinear "
    "Reshape Resize Squeeze Tile Trilu Unsqueeze Upsample".split()
)
"""Simple operators whose constants are settings, not weights."""

DATA_FIRST = frozenset(
    "Cast CastLike DequantizeLinear Expand Flatten Gather Identity Pad QuantizeLinear Reshape "
    "Slice Split Squeeze Tile Transpose Unsqueeze".split()
)
"""Operators whose result, on a constant, is made of the first input's elements alone."""

_SHOWN = {
    "BatchNormalization": "batch_norm",
    "GroupNormalization": "group_norm",
    "InstanceNormalization": "instance_norm",
    "LayerNormalization": "layer_norm",
    "RMSNormalization": "rms_norm",
    "ReduceMean": "mean",
    "ReduceSum": "sum",
    "PRelu": "prelu",
    **dict.fromkeys("Flatten Squeeze Unsqueeze".split(), "reshape"),
}


def shown_name(op_type: str) -> str:
    """The name that a profile shows: ``GlobalAveragePool`` as ``global_average_pool``."""
    op_type = op_type.removeprefix("com.microsoft.")
    return _SHOWN.get(op_type) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", op_type).lower()
