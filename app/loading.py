"""The model that a command names, profiled."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence

from app.inputs import parse_input_shapes, parse_input_types
from app.progress import working
from planner.domain.model_profile import ModelProfile
from profiles.catalog import model_names
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


Typed = Mapping[str, str | float | bool | Sequence[str] | None]
"""What was typed for options, by their parameters' names."""


def report_command(name: str, source: str, typed: Typed) -> str:
    """The ``planner report`` of a plan that was kept as ``plan.json``.

    Parameters
    ----------
    name : str
        The model's in the plan: without another word the catalogue's model of that name is read.
    source : str
    typed : mapping
        For the options of `load_profile` that say how the source is read.
    """
    words = ["planner", "report", "plan.json"]
    if source != name or source not in model_names():
        words += ["--model", source]
    for option, value in typed.items():
        flag = f"--{option.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif isinstance(value, (str, int, float)) and value is not False:
            words += [flag, f"{value:.12g}" if isinstance(value, float) else str(value)]
        elif isinstance(value, Sequence):
            words += [word for text in value for word in (flag, text)]
    return shlex.join(words)
