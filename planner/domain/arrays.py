"""Array fields for pydantic models: validated by dtype, dumped as nested lists."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema


def _frozen_array(dtype: type) -> Any:
    def convert(value: Any) -> NDArray[Any]:
        given = np.asarray(value)
        if given.dtype.kind not in "biuf":
            raise ValueError("holds something that is no number")
        if not np.isfinite(given).all():
            raise ValueError("holds NaN or infinity")
        array: NDArray[Any] = np.array(given, dtype=dtype)
        if not np.array_equal(given, array):
            raise ValueError("holds a number that is not whole")
        array.setflags(write=False)
        return array

    return convert


def _as_list(array: NDArray[Any]) -> Any:
    return array.tolist()


def _annotations(dtype: type, item: str) -> tuple[Any, Any, Any]:
    return (
        BeforeValidator(_frozen_array(dtype)),
        PlainSerializer(_as_list, return_type=list),
        WithJsonSchema({"type": "array", "description": f"nested arrays of {item}"}),
    )


FloatArray = Annotated[NDArray[np.float64], *_annotations(np.float64, "numbers")]
IntArray = Annotated[NDArray[np.int64], *_annotations(np.int64, "integers")]
BoolArray = Annotated[NDArray[np.bool_], *_annotations(np.bool_, "booleans")]


class Frozen(BaseModel):
    """Base of every domain type: immutable, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )

    def __getstate__(self) -> dict[Any, Any]:
        """The fields alone, for another process: what follows from them is worked out again."""
        state = super().__getstate__()
        kept = {k: v for k, v in state["__dict__"].items() if k in type(self).model_fields}
        return state | {"__dict__": kept}
