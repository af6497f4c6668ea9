"""Profile a ``torch.nn.Module``: graph and shapes from torch.export on meta tensors.

No weights are read or held: a module built under ``torch.device("meta")`` costs no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from planner.domain.model_profile import ModelProfile, Provenance
from planner.errors import BadInputError
from profiles.build import build_profile
from profiles.from_torch.export import export_module
from profiles.from_torch.hygiene import (
    attention_written_out,
    evaluation_mode,
    first_line,
    import_torch,
    quiet,
)
from profiles.from_torch.inputs import input_types
from profiles.from_torch.live import read_program
from profiles.from_torch.reshaping import OPEN_SECONDS, with_open_shapes
from profiles.from_torch.traced import NOTE, trace_path, weights_fit
from profiles.from_torch.translate import translate
from profiles.from_torch.witness import add_witness, without_witness
from profiles.graph import Graph

if TYPE_CHECKING:
    import torch


class UntracedError(BadInputError):
    """torch can trace a module in no way."""


def profile_module(
    module: torch.nn.Module,
    input_shapes: dict[str, tuple[int, ...]],
    *,
    name: str,
    source: str = "",
    witness: bool = True,
    dtypes: dict[str, str] | None = None,
    open_sizes: Literal["all", "batch", "none"] = "none",
    open_seconds: float = OPEN_SECONDS,
) -> ModelProfile:
    """Profile a module for the given input shapes.

    Parameters
    ----------
    module : torch.nn.Module
        On any device, the meta device included; it is not changed.
    input_shapes : dict of str to tuple of int
        Inputs of ``forward``: by name where all of them are names of its parameters, else
        positional, in order.
    name, source : str
        For the profile's name and provenance.
    witness : bool
        Let fvcore count the module as well (see `profiles.from_torch.witness`).
    dtypes : dict of str to str, optional
        Element type per input, such as ``int64``. By default inputs that are named like token
        numbers or masks (``input_ids``, ``attention_mask``) are int64; all others have the type
        of the weights.
    open_sizes : {"none", "all", "batch"}
        Which sizes of the inputs the profile can be worked out for later, as far as torch can
        trace the module so (see `profiles.from_torch.reshaping`); it is traced again for that.
    open_seconds : float
        Processor time that one such trace may take; after one that takes longer the batch alone
        is tried.

    Raises
    ------
    BadInputError
        A shape is empty, a type unknown, torch cannot trace the module, or its graph holds
        nothing to plan.
    """
    torch = import_torch()
    graph, note = trace_graph(module, input_shapes, name=name, dtypes=dtypes)
    provenance = Provenance(
        front_end="torch trace" if note else "torch.export",
        source=source,
        tools={"torch": torch.__version__},
        note="; ".join(filter(None, (note, *graph.notes))),
    )
    try:
        profile = build_profile(graph, provenance)
    except BadInputError as error:
        raise BadInputError(f"{name}: {error}") from error
    if open_sizes != "none" and not note:
        batch_only = open_sizes == "batch"
        profile = with_open_shapes(
            profile, graph, module, batch_only=batch_only, seconds=open_seconds
        )
    if not witness:
        return without_witness(profile, "turned off")
    types = {tensor.name: tensor.dtype for tensor in graph.inputs}
    return add_witness(profile, graph, module, input_shapes, types)


def trace_graph(
    module: torch.nn.Module,
    input_shapes: dict[str, tuple[int, ...]],
    *,
    name: str,
    dtypes: dict[str, str] | None = None,
) -> tuple[Graph, str]:
    """Export a module on meta tensors and translate its ATen graph.

    Where torch.export refuses the module but zeros run through it, the graph is the path that
    they take.

    Returns
    -------
    Graph
    str
        What is to be known about the graph; empty for an exported one.

    Raises
    ------
    BadInputError
        As `profile_module`.
    """
    types = input_types(module, input_shapes, name=name, dtypes=dtypes)
    with evaluation_mode(module), attention_written_out(), quiet():
        try:
            program = read_program(export_module(module, input_shapes, types), tuple(input_shapes))
        except Exception as error:  # whatever the module's own code raises inside torch.export
            graph = _path_graph(module, input_shapes, types, name)
            if graph is None:
                raise UntracedError(
                    f"{name}: torch.export cannot trace it: {first_line(error)}"
                ) from error
            return graph, NOTE
    try:
        return translate(program, name), ""
    except BadInputError as error:
        raise BadInputError(f"{name}: {error}") from error


def _path_graph(
    module: torch.nn.Module,
    input_shapes: dict[str, tuple[int, ...]],
    types: dict[str, str],
    name: str,
) -> Graph | None:
    """The graph of the path that zeros take; None where they take none to an end."""
    if not weights_fit(module):
        return None
    try:
        return translate(trace_path(module, input_shapes, types), name)
    except Exception:  # the module's own again; torch.export's word for it is the better one
        return None
