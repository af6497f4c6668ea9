"""Weights of a file of torch.save by layer, read in a limited child process (see `sandbox`).

Only tensors are unpickled (``weights_only``): a file that asks for anything else is refused, and
nothing of it is run.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.accuracy.ranking import magnitudes
from planner.domain.layer_profile import LayerProfile
from planner.errors import BadInputError
from planner.weights.parameters import StoredWeight, stored_weights
from profiles.from_torch.hygiene import first_line, import_torch
from profiles.weight_message import Weight, encoded

ROOM_BYTES = 3 * 2**30
"""Address space that reading may take on top of torch itself."""

_NO_MEMORY = "allocate memory"  # what torch says instead of MemoryError
_STATES = ("state_dict", "model")
"""Where training scripts put a state in what they save."""


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Magnitudes of the weights of some layers.

    Parameters
    ----------
    request : dict
        ``layers``: a profile's layers as JSON.
    data : bytes
        The file.

    Returns
    -------
    dict
        By layer's name, see `profiles.weight_message.encoded`.

    Raises
    ------
    BadInputError
        One line: it is no state dict of tensors, a weight is missing, or it has a shape or an
        element type that is not understood.
    """
    torch = import_torch()
    _leave_room(ROOM_BYTES)
    layers = [LayerProfile.model_validate(layer) for layer in request["layers"]]
    try:
        found = read_state(torch, layers, data)
    except MemoryError as error:
        raise BadInputError(
            f"needs more than {ROOM_BYTES / 2**30:g} GiB of memory to read"
        ) from error
    return {name: encoded(*weight) for name, weight in found.items()}


def read_state(torch: Any, layers: list[LayerProfile], data: bytes) -> dict[str, Weight]:
    """Magnitudes of the layers' weights, and where they are stored, by the layer's name.

    Raises
    ------
    BadInputError
        As `main`.
    MemoryError
        There is no more memory.
    """
    _check_archive(data)
    state = _state(_loaded(torch, data), torch)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    found = stored_weights(shapes, layers, "of the state")
    return {name: _weight(torch, state, stored) for name, stored in found.items()}


def _leave_room(most_bytes: int) -> None:
    """Limit the address space to what torch takes by itself, and so much more."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    wanted = pages * resource.getpagesize() + most_bytes
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    if limit == resource.RLIM_INFINITY or wanted < limit:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, limit))


def _check_archive(data: bytes) -> None:
    """Refuse archives that unpack to more than they are: torch.save stores and never compresses."""
    if not data.startswith(b"PK"):
        return  # as torch before 1.6 wrote it
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as error:
        raise BadInputError("is no whole archive of torch.save") from error
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > len(data) or any(entry.compress_type for entry in entries):
        raise BadInputError(
            f"is {len(data):,} bytes and unpacks to {unpacked:,}; torch.save does not compress"
        )


def _loaded(torch: Any, data: bytes) -> Any:
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInputError(
            "is no state dict of tensors alone, and code in a file is never run: "
            "torch.save(model.state_dict(), FILE) writes one"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # whatever a broken file makes torch stumble over
        if _NO_MEMORY in str(error):
            raise MemoryError from error
        raise BadInputError(f"is no file of torch.save that can be read ({_why(error)})") from error


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)[:120]}"


def _state(loaded: Any, torch: Any) -> dict[str, Any]:
    """The tensors of a state dict, or of the one that a checkpoint holds."""
    if isinstance(loaded, Mapping):
        inner = next((loaded[key] for key in _STATES if isinstance(loaded.get(key), Mapping)), None)
        for found in (loaded, inner or {}):
            state = {
                name: value
                for name, value in found.items()
                if isinstance(name, str)
                and isinstance(value, torch.Tensor)
                and not value.is_nested  # several tensors, without a shape
            }
            if state:
                return state
    raise BadInputError(
        f"holds no state dict, but {type(loaded).__name__}: a mapping of names to tensors is "
        f"needed, or one under {' or '.join(map(repr, _STATES))}"
    )


def _weight(torch: Any, state: dict[str, Any], stored: StoredWeight) -> Weight:
    tensor = state[stored.name]
    known = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    if tensor.dtype not in known or tensor.layout != torch.strided or tensor.is_meta:
        where = "without values" if tensor.is_meta else str(tensor.layout)
        raise BadInputError(
            f"{stored.name[:90]!r} is {tensor.dtype}, {where}; dense float16, bfloat16, float32 "
            "and float64 can be read"
        )
    try:
        values = tensor.detach().resolve_neg().to(torch.float32).numpy()
    except RuntimeError as error:
        if _NO_MEMORY not in str(error):
            raise
        raise MemoryError from error
    return stored.by_output(magnitudes(values)), stored
