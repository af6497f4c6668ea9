"""Configuration files of timm and diffusers: built by the library whose they are, if installed."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.from_hf.config import library_of
from profiles.from_torch.frontend import profile_module
from profiles.from_torch.hygiene import import_torch


def profile_other(values: dict[str, Any], request: dict[str, Any]) -> ModelProfile:
    """Profile what timm or diffusers makes of its own configuration.

    Parameters
    ----------
    values : dict
        Of the file, checked (see `profiles.from_hf.config.read_config`).
    request : dict
        As `profiles.from_hf.child.main` has it.

    Raises
    ------
    BadInputError
        The library is not installed or cannot build it, or an input has no shape.
    """
    library = library_of(values)
    what = str(values["architecture" if library == "timm" else "_class_name"])[:100]
    try:
        with import_torch().device("meta"):
            module, shapes = _BUILDERS[library](values)
    except ImportError as error:
        raise BadInputError(
            f"is a file of {library} (for {what!r}), which is not installed: pip install {library}"
        ) from error
    except (BadInputError, MemoryError):
        raise
    except Exception as error:  # whatever a configuration makes the library's code raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadInputError(f"{library} cannot build {what!r}: {reason}") from error
    shapes |= {name: tuple(shape) for name, shape in request["input_shapes"].items()}
    missing = [name for name in _needed(module) if name not in shapes]
    if missing:
        raise BadInputError(
            f"{what} needs the shapes of {', '.join(missing)}: "
            f"give --input-shape {missing[0]}=1,... and so on"
        )
    if request["batch"] is not None:
        shapes = {name: (request["batch"], *shape[1:]) for name, shape in shapes.items()}
    profile = profile_module(
        module,
        shapes,
        name=request["name"],
        witness=False,
        dtypes=request["input_types"],
        open_sizes="all",
    )
    note = "; ".join(
        filter(None, (f"architecture only, no weights: {library} {what}", profile.provenance.note))
    )
    provenance = profile.provenance.model_copy(
        update={"front_end": f"{library} config", "note": note}
    )
    return profile.model_copy(update={"provenance": provenance})


def _timm(values: dict[str, Any]) -> tuple[Any, dict[str, tuple[int, ...]]]:
    timm = import_module("timm")
    options = {"num_classes": n} if isinstance(n := values.get("num_classes"), int) else {}
    module = timm.create_model(values["architecture"], pretrained=False, **options)
    stored = values.get("pretrained_cfg")
    size = (stored if isinstance(stored, dict) else {}).get("input_size")
    size = size or module.default_cfg["input_size"]
    return module, {"x": (1, *map(int, size))}


def _diffusers(values: dict[str, Any]) -> tuple[Any, dict[str, tuple[int, ...]]]:
    diffusers = import_module("diffusers")
    found = getattr(diffusers, values["_class_name"], None)
    if not (isinstance(found, type) and issubclass(found, diffusers.ModelMixin)):
        raise BadInputError(f"_class_name: diffusers has no network {values['_class_name']!r}")
    build: Any = found
    return build.from_config(values), {}


def _needed(module: Any) -> list[str]:
    """The inputs that a module cannot do without."""
    return [
        name
        for name, parameter in inspect.signature(module.forward).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


_BUILDERS = {"timm": _timm, "diffusers": _diffusers}
