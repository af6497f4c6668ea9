"""A profile of what a configuration's values describe. Needs torch and transformers."""

from __future__ import annotations

from typing import Any

import transformers

from planner.domain.model_profile import ModelProfile
from profiles.from_hf import network as hf
from profiles.from_hf.defaults import takes_images
from profiles.from_torch.frontend import UntracedError, profile_module

_MOST_OPEN_MODULES = 600
"""Of a network that is traced with open sizes as well, which takes twice as long again."""
_MOST_WEIGHT_BYTES = 2**28
"""Of a network that is built again with weights, where it needs values to be traced."""


def profile_values(values: dict[str, Any], request: dict[str, Any]) -> ModelProfile:
    """Build a network and profile it.

    Parameters
    ----------
    values : dict
        Of a ``config.json``, checked (see `profiles.from_hf.config.read_config`).
    request : dict
        As `profiles.from_hf.child.main` has it.

    Raises
    ------
    BadInputError
        transformers cannot build it, or torch cannot trace it.
    """
    profile, text = _profiled(values, request)
    provenance = profile.provenance.model_copy(
        update={
            "front_end": "Hugging Face config",
            "tools": {**profile.provenance.tools, "transformers": transformers.__version__},
            "note": "; ".join(filter(None, (text, profile.provenance.note))),
        }
    )
    coverage = profile.coverage.model_copy(
        update={"witness_note": "a configuration has no weights for fvcore to run with"}
    )
    return profile.model_copy(update={"provenance": provenance, "coverage": coverage})


def _profiled(values: dict[str, Any], request: dict[str, Any]) -> tuple[ModelProfile, str]:
    """The profile, and what was built.

    Where torch cannot trace the network as it is, it is built again: of texts alone, if images
    were not asked for (the sizes of some are data), then with weights, if it asks for values.
    """
    network = hf.build_network(values)
    weight_bytes = sum(p.numel() * p.element_size() for p in network.parameters())
    attempts = [("meta", True)]
    if takes_images(network) and "pixel_values" not in request["input_shapes"]:
        attempts.append(("meta", False))
    if weight_bytes <= _MOST_WEIGHT_BYTES:
        attempts.append(("cpu", True))
    first: UntracedError | None = None
    for device, images in attempts:
        if first is not None:
            network = hf.build_network(values, device)
        try:
            profile = _traced(network, request, images)
        except UntracedError as error:
            first = first or error
            continue
        text = hf.description(network, values)
        return profile, text if images else f"{text}; texts alone, without images"
    assert first is not None
    raise first


def _traced(network: Any, request: dict[str, Any], images: bool) -> ModelProfile:
    given = {name: tuple(shape) for name, shape in request["input_shapes"].items()}
    types = request["input_types"]
    traced = hf.prepared(network, given, request["batch"], types, images=images)
    try:
        return _profile_of(traced, request["name"])
    except UntracedError as error:
        shown = " ".join(f"{k}={','.join(map(str, v))}" for k, v in traced.shapes.items())
        raise UntracedError(f"{error}; it was given {shown}: --input-shape changes that") from error


def _profile_of(traced: hf.Prepared, name: str) -> ModelProfile:
    modules = sum(1 for _ in traced.module.modules())
    return profile_module(
        traced.module,
        traced.shapes,
        name=name,
        witness=False,
        dtypes=traced.dtypes,
        open_sizes="all" if modules <= _MOST_OPEN_MODULES else "none",
    )
