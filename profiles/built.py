"""A model as a torch module that runs: what a user names, with random weights or those of a file.

Nothing is unpickled, and no code of files runs: ``.onnx`` and ``.pt2`` files are profiled, not run.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import BadInputError, install_advice
from profiles.catalog import model_names
from profiles.files import allowed_names, check_file, one_line
from profiles.from_hf.config import is_config_file, read_config
from profiles.from_torch.hygiene import first_line, import_torch, quiet
from profiles.from_torch.runnable import traced_model
from profiles.own_code import failure_of, own_object

if TYPE_CHECKING:
    from planner.runtime.reading.traced import TracedModel

RUNNABLE = (
    "a catalogue model (planner catalog models), a Hugging Face config.json, or module:callable "
    "that returns a torch.nn.Module"
)
NOT_RUN = ".onnx and .pt2 files can be profiled and planned, not run"


@dataclass(frozen=True)
class _Built:
    """A module, the shapes that it is traced with, and types where they are not found out."""

    module: Any
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str] | None = None


def built_model(
    source: str,
    *,
    input_shapes: dict[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    weights: Path | None = None,
    seed: int = 0,
) -> TracedModel:
    """Build what a source names and trace it.

    Parameters
    ----------
    source : str
        See `RUNNABLE`.
    input_shapes : dict, optional
        As the plan was made for; needed for ``module:callable``.
    batch : int, optional
        Replaces dimension 0 of every input.
    weights : Path, optional
        A safetensors file whose tensors are called as the model's parameters; by default weights
        are random.
    seed : int
        Of random weights.

    Raises
    ------
    BadInputError
        Nothing of that name can be run, or the weights are not the model's.
    """
    torch = import_torch()
    torch.manual_seed(seed)
    with quiet():
        made = _made(source, input_shapes or {}, batch)
    if weights is not None:
        _load(made.module, weights)
    name = source if source in model_names() else Path(source.rpartition(":")[2]).stem
    return traced_model(made.module, made.shapes, name=name, dtypes=made.dtypes)


def _made(source: str, shapes: dict[str, tuple[int, ...]], batch: int | None) -> _Built:
    path = Path(source)
    if source in model_names():
        _needs_transformers(source)
        from profiles.networks import ARCHITECTURES

        made = ARCHITECTURES[source].prepare("cpu")
        return _shaped(_Built(made.module, made.shapes, made.dtypes), shapes, batch)
    if path.suffix.lower() == ".json" and is_config_file(path):
        _needs_transformers(source)
        from profiles.from_hf import network as hf

        network = hf.build_network(read_config(path.read_bytes()), "cpu")
        made = hf.prepared(network, shapes, batch)
        return _Built(made.module, made.shapes, made.dtypes)
    if ":" in source and not path.exists():
        return _own(source, shapes, batch)
    near = f"; {allowed_names(source, model_names()).partition('there are')[0]}".rstrip("; ")
    raise BadInputError(f"--model {source!r}: is nothing that runs; give {RUNNABLE}{near}")


def _own(source: str, shapes: dict[str, tuple[int, ...]], batch: int | None) -> _Built:
    torch = import_torch()
    try:
        found = own_object(source)
    except ImportError as error:
        raise BadInputError(f"--model {source!r}: {first_line(error)}; give {RUNNABLE}") from error
    try:
        module = found()
    except Exception as error:
        raise BadInputError(f"--model {source!r}: cannot be called: {failure_of(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise BadInputError(
            f"--model {source!r}: returned {type(module).__name__}; a torch.nn.Module is needed"
        )
    if not shapes:
        raise BadInputError(
            f"--model {source!r}: a module needs its input shapes, such as --input-shape "
            "image=1,3,224,224"
        )
    return _shaped(_Built(module, shapes), {}, batch)


def _shaped(made: _Built, shapes: dict[str, tuple[int, ...]], batch: int | None) -> _Built:
    """With other input shapes."""
    unknown = [name for name in shapes if name not in made.shapes]
    if unknown:
        raise BadInputError(
            f"--input-shape: there is no input {unknown[0]!r}; "
            f"{allowed_names(unknown[0], made.shapes)}"
        )
    found = {**made.shapes, **shapes}
    if batch is not None:
        found = {name: (batch, *shape[1:]) for name, shape in found.items()}
    return _Built(made.module, found, made.dtypes)


def _needs_transformers(source: str) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before it is imported: it asks nobody
    if importlib.util.find_spec("transformers") is None:
        raise BadInputError(
            f"--model {source!r}: transformers is not installed, and it is built with it: "
            f"{install_advice('hf')}"
        )


def _load(module: Any, path: Path) -> None:
    """Put a file's weights into a module; all of them, and no others."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    label = one_line(path.name)
    if path.suffix.lower() != ".safetensors":
        raise BadInputError(
            f"weights {label}: give a .safetensors file; files of torch.save are not read here, "
            "because they are unpickled"
        )
    check_file(path, f"weights {label}")
    try:
        state = load_file(path)
        told = module.load_state_dict(state, strict=False)
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise BadInputError(f"weights {label}: {one_line(first_line(error))}") from error
    tied = _tied(module, set(state))
    missing = [name for name in told.missing_keys if name not in tied]
    if missing:
        raise BadInputError(f"weights {label}: have no tensor {missing[0]!r}")
    if told.unexpected_keys:
        raise BadInputError(
            f"weights {label}: the model has no parameter {told.unexpected_keys[0]!r}"
        )


def _tied(module: Any, given: set[str]) -> set[str]:
    """Names of parameters that are others' under a second name, and of what is counted along."""
    by_place: dict[int, list[str]] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        by_place.setdefault(value.data_ptr(), []).append(name)
    shared = {name for names in by_place.values() if given & set(names) for name in names}
    return shared | {name for name in module.state_dict() if name.endswith("num_batches_tracked")}
