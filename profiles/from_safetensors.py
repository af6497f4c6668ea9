"""Magnitudes of weights in a safetensors file: parsed by its own library, never unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from planner.accuracy.ranking import magnitudes
from planner.domain.layer_profile import LayerProfile
from planner.errors import BadInputError
from planner.weights.parameters import StoredWeight, stored_weights
from profiles.files import one_line, opened
from profiles.weight_message import Weight

MAX_HEADER_BYTES = 16 * 2**20  # of names, shapes and offsets; a model of 100 layers needs 10 kB
DTYPES = ("F16", "BF16", "F32", "F64")


def read_safetensors(path: Path, layers: list[LayerProfile]) -> dict[str, Weight]:
    """L1 norms of the layers' weights, (O, I) each, and where they are stored, by layer.

    Raises
    ------
    BadInputError
        One line: the file is no safetensors file, a weight is missing, or it has a shape or an
        element type that is not understood.
    """
    import ml_dtypes  # noqa: F401  # numpy knows bfloat16 once this is imported
    from safetensors import SafetensorError, safe_open

    label = one_line(path.name)
    try:
        with opened(path, f"weights {label}") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > MAX_HEADER_BYTES:
            raise BadInputError(
                f"weights {label}: its header is {header_bytes:,} bytes; "
                f"at most {MAX_HEADER_BYTES:,} are read"
            )
        with safe_open(path, framework="numpy") as tensors:
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
            found = stored_weights(shapes, layers, label)
            return {name: _weight(tensors, stored, label) for name, stored in found.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInputError(
            f"weights {label}: is no safetensors file: {one_line(str(error))}"
        ) from error


def _weight(tensors: Any, stored: StoredWeight, label: str) -> Weight:
    dtype = tensors.get_slice(stored.name).get_dtype()
    if dtype not in DTYPES:
        raise BadInputError(
            f"weights {label}: {stored.name!r} has the element type {dtype}; "
            f"{', '.join(DTYPES)} can be read"
        )
    return stored.by_output(magnitudes(tensors.get_tensor(stored.name))), stored
