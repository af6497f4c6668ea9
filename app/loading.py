"""The model that a command names, profiled."""

from __future__ import annotations

import warnings

from app.inputs import parse_input_shapes, parse_input_types
from app.progress import working
from planner.domain.model_profile import ModelProfile
from profiles.from_torch.witness import WitnessWarning
from profiles.sources import load_source


def load_profile(
    source: str,
    input_shape: list[str] | None,
    batch: int | None,
    witness: bool,
    weight_bits: float | None = None,
    input_type: list[str] | None = None,
) -> ModelProfile:
    """The model that a user names, with a line of progress where that takes long."""
    shapes = parse_input_shapes(input_shape or [])
    with working(f"profiling {source}"), warnings.catch_warnings():
        warnings.simplefilter("ignore", WitnessWarning)  # the profile says it too
        return load_source(
            source,
            input_shapes=shapes or None,
            batch=batch,
            witness=witness,
            weight_bits=weight_bits,
            input_types=parse_input_types(input_type or []) or None,
        )
