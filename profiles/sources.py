"""From what a user types or uploads to a model profile."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.quantise import with_weight_bits
from planner.reshape import at_input_shapes
from profiles.catalog import load_model, model_names
from profiles.files import one_line, read_document, read_file
from profiles.from_hf.config import is_config_file, name_of_config
from profiles.from_hf.frontend import profile_config
from profiles.from_onnx.frontend import profile_onnx
from profiles.from_pt2.frontend import profile_pt2
from profiles.from_torch.frontend import profile_module
from profiles.from_torch.hygiene import import_torch
from profiles.own_code import failure_of, own_object
from profiles.strangers import MAX_MODEL_BYTES

SOURCE_HELP = (
    "a catalogue model (planner catalog models), an .onnx or .pt2 file, a profile .json, "
    "a Hugging Face config.json, or module:callable that returns a torch.nn.Module"
)


def load_source(
    source: str,
    *,
    input_shapes: dict[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    witness: bool = True,
    weight_bits: Fraction | float | str | None = None,
    input_types: dict[str, str] | None = None,
) -> ModelProfile:
    """Profile whatever the text names.

    Parameters
    ----------
    source : str
        Catalogue name, path, or ``module:callable``. The latter imports and runs the user's
        own code and is therefore never offered for uploads.
    input_shapes : dict, optional
        Shape per input name; needed for modules and for ONNX inputs with dynamic dimensions.
        Catalogue models and saved profiles are worked out for it, where they say how.
    batch : int, optional
        Replaces dimension 0 of every input.
    witness : bool
        Let fvcore count a module as well.
    weight_bits : Fraction, float or str, optional
        Of every weight, scales included (`planner.quantise.with_weight_bits`).
    input_types : dict, optional
        Element type per input of a module or a configuration; otherwise what its name says.

    Raises
    ------
    BadInputError
        Nothing of that name, a file that is not what it says, a shape that it cannot have, or a
        width that no weight has.
    """
    found = _as_it_is(source, input_shapes, batch, witness, input_types)
    return with_weight_bits(found, weight_bits)


def _as_it_is(
    source: str,
    input_shapes: dict[str, tuple[int, ...]] | None,
    batch: int | None,
    witness: bool,
    input_types: dict[str, str] | None,
) -> ModelProfile:
    path = Path(source)
    is_config = path.suffix.lower() == ".json" and is_config_file(path)
    is_module = ":" in source and not os.path.exists(path)
    if input_types and not (is_config or is_module):
        raise BadInputError(f"{source}: has types of its own; leave --input-type out")
    if source in model_names():
        return at_input_shapes(load_model(source), input_shapes, batch)
    if path.suffix.lower() == ".onnx":
        return load_onnx(
            _read(path), name=path.stem, source=path.name, input_shapes=input_shapes, batch=batch
        )
    if path.suffix.lower() == ".pt2":
        return profile_pt2(
            _read(path), name=path.stem, source=path.name, input_shapes=input_shapes, batch=batch
        )
    if path.suffix.lower() == ".json":
        if is_config:
            return profile_config(
                _read(path),
                name=name_of_config(path),
                source=path.name,
                input_shapes=input_shapes,
                batch=batch,
                input_types=input_types,
            )
        profile = read_document(path, ModelProfile, what="profile")
        return at_input_shapes(profile, input_shapes, batch)
    if is_module:
        return _load_module(source, input_shapes, batch, witness, input_types)
    raise BadInputError(f"SOURCE {source!r}: no such model; give {SOURCE_HELP}")


def load_onnx(
    data: bytes,
    *,
    name: str,
    source: str,
    input_shapes: dict[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
) -> ModelProfile:
    """Profile the bytes of an ONNX file, in a limited child process."""
    return profile_onnx(data, name=name, source=source, input_shapes=input_shapes, batch=batch)


def _read(path: Path) -> bytes:
    return read_file(path, one_line(path.name), MAX_MODEL_BYTES)


def _load_module(
    source: str,
    input_shapes: dict[str, tuple[int, ...]] | None,
    batch: int | None,
    witness: bool,
    input_types: dict[str, str] | None,
) -> ModelProfile:
    _check_shapes(source, input_shapes)
    build = _callable(source)
    try:
        module = _built(build)
    except Exception as error:
        raise BadInputError(f"SOURCE {source!r}: cannot be called: {failure_of(error)}") from error
    return load_module(
        module,
        input_shapes=input_shapes,
        batch=batch,
        witness=witness,
        name=source.rpartition(":")[2],
        source=source,
        input_types=input_types,
    )


def _built(build: Callable[[], Any]) -> Any:
    """What the user's own code makes: without values, unless it asks for some while it does."""
    try:
        with import_torch().device("meta"):
            return build()
    except Exception as error:
        if not _asks_for_values(error):
            raise
    return build()


def _asks_for_values(error: Exception) -> bool:
    """Whether the meta device, which has none, is why a module cannot be built."""
    return isinstance(error, (RuntimeError, NotImplementedError)) and "meta" in str(error).lower()


def load_module(
    module: Any,
    *,
    input_shapes: dict[str, tuple[int, ...]] | None,
    batch: int | None = None,
    witness: bool = True,
    name: str = "",
    source: str = "",
    input_types: dict[str, str] | None = None,
) -> ModelProfile:
    """Profile a torch module; it is not changed.

    Parameters
    ----------
    module : torch.nn.Module
        On any device, the meta device included.
    input_shapes, batch, witness
        As of `load_source`.
    name, source : str
        For the profile; by default the module's class.
    input_types
        As of `load_source`.

    Raises
    ------
    BadInputError
        No module, no shapes, or a module that cannot be traced.
    """
    torch = import_torch()
    kind = type(module).__name__
    if not isinstance(module, torch.nn.Module):
        raise BadInputError(f"{source or 'model'}: returned {kind}; a torch.nn.Module is needed")
    shapes = _check_shapes(source or kind, input_shapes)
    if batch is not None:
        shapes = {name: (batch, *shape[1:]) for name, shape in shapes.items()}
    return profile_module(
        module,
        shapes,
        name=name or kind,
        source=source,
        witness=witness,
        dtypes=input_types,
        open_sizes="all",
    )


def _check_shapes(
    source: str, input_shapes: dict[str, tuple[int, ...]] | None
) -> dict[str, tuple[int, ...]]:
    if not input_shapes:
        raise BadInputError(
            f"{source}: a module needs its input shapes, such as --input-shape image=1,3,224,224"
        )
    return input_shapes


def _callable(source: str) -> Callable[[], Any]:
    try:
        found = own_object(source)
    except ImportError as error:
        raise BadInputError(f"SOURCE {source!r}: {error}; give {SOURCE_HELP}") from error
    if not callable(found):
        raise BadInputError(f"SOURCE {source!r}: {source.rpartition(':')[2]} is no callable")
    return found  # type: ignore[no-any-return]
