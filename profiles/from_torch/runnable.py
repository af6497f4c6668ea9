"""A torch module traced so that its slices can run (`planner.runtime`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.domain.model_profile import Provenance
from planner.errors import BadInputError
from profiles.axis import factors
from profiles.build import build_profile, features_followed, positions_followed
from profiles.from_torch.export import export_module
from profiles.from_torch.frontend import UntracedError
from profiles.from_torch.hygiene import (
    attention_written_out,
    evaluation_mode,
    first_line,
    import_torch,
    quiet,
)
from profiles.from_torch.inputs import input_types
from profiles.from_torch.live import read_program
from profiles.from_torch.translate import translated_calls
from profiles.from_torch.witness import without_witness
from profiles.graph import Tensor

if TYPE_CHECKING:
    import torch

    from planner.runtime.reading.traced import TracedModel


def traced_model(
    module: torch.nn.Module,
    input_shapes: dict[str, tuple[int, ...]],
    *,
    name: str = "",
    dtypes: dict[str, str] | None = None,
) -> TracedModel:
    """Export a module, and profile it with the link between the graph's calls and the layers.

    Parameters
    ----------
    module : torch.nn.Module
        With its weights; traced in evaluation mode and not changed.
    input_shapes, dtypes
        As `profiles.from_torch.frontend.profile_module` has them.
    name : str
        For the profile; the module's class by default.

    Raises
    ------
    UntracedError
        Torch cannot export the module: control flow that depends on values, for example.
    BadInputError
        Its graph holds nothing to plan.
    """
    torch = import_torch()
    from planner.runtime.reading.traced import TracedCall, TracedLayer, TracedModel, TracedTensor

    name = name or type(module).__name__
    types = input_types(module, input_shapes, name=name, dtypes=dtypes)
    with evaluation_mode(module), attention_written_out(), quiet():
        try:
            exported = export_module(module, input_shapes, types)
            program = read_program(exported, tuple(input_shapes))
        except Exception as error:  # whatever the module's own code raises inside torch.export
            raise UntracedError(
                f"{name}: torch.export cannot trace it: {first_line(error)}"
            ) from error
    try:
        graph, calls = translated_calls(program, name)
        provenance = Provenance(
            front_end="torch.export",
            source="",
            tools={"torch": torch.__version__},
            note="; ".join(graph.notes),
        )
        profile = without_witness(build_profile(graph, provenance), "not asked for")
    except BadInputError as error:
        raise BadInputError(f"{name}: {error}") from error
    _, operands = features_followed(graph)
    followed = positions_followed(graph, operands)

    def traced(tensor: Tensor) -> TracedTensor:
        positions, samples = (found.axes.get(tensor.name) for found in followed)
        return TracedTensor(
            shape=tuple(tensor.shape),
            element_bytes=tensor.element_bytes,
            features=tuple(
                tuple((atom.size, atom.stride) for atom in dimension)
                for dimension in operands[tensor.name].layout.dimensions
            ),
            positions=factors(positions, tensor.shape),
            samples=factors(samples, tensor.shape),
        )

    return TracedModel(
        module=module,
        program=exported,
        profile=profile,
        calls=tuple(
            TracedCall(call.node, call.reads, call.operators, call.outputs) for call in calls
        ),
        inputs={t.name: traced(t) for t in graph.inputs},
        layers={
            operator.name: TracedLayer(
                kind=operator.kind,
                output=traced(operator.output),
                permutation=operator.permutation,
                axes=operator.axes,
                start=operator.start,
            )
            for operator in graph.operators
        },
    )
