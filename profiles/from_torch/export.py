"""torch.export on meta tensors, with fixed or open sizes."""

from __future__ import annotations

import inspect
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from profiles.from_torch.inputs import takes_by_name

if TYPE_CHECKING:
    import torch


def export_module(
    module: torch.nn.Module,
    input_shapes: dict[str, tuple[int, ...]],
    types: dict[str, str],
    open_axes: dict[str, tuple[int, ...]] | None = None,
) -> Any:
    """Export a module.

    Parameters
    ----------
    open_axes : dict of str to tuple of int, optional
        Dimensions whose sizes are symbols, per input; torch still fixes those that it must.

    Returns
    -------
    torch.export.ExportedProgram

    Raises
    ------
    Exception
        Whatever torch or the module's own code raises.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.export import Dim
    from torch.fx.experimental import _config

    config: Any = _config
    shapes: Any = None
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        arguments = {
            label: torch.empty(shape, device=device, dtype=getattr(torch, types[label]))
            for label, shape in input_shapes.items()
        }
        by_name = takes_by_name(module, tuple(arguments))
        if open_axes is not None:
            # Sizes of 1 are no special case then: as many shapes as can be share one graph.
            stack.enter_context(config.patch(backed_size_oblivious=True))
            named = {
                label: dict.fromkeys(open_axes.get(label, ()), Dim.AUTO) for label in arguments
            }
            signature = inspect.signature(module.forward)
            bound = signature.bind(**named) if by_name else signature.bind(*named.values())
            shapes = dict(bound.arguments)
        args, kwargs = ((), arguments) if by_name else (tuple(arguments.values()), {})
        exported = torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False)
        # Inside vmap, shapes are those of one example; without it, of all.
        inside = any(_is_of_vmap(node) for node in exported.graph.nodes)
        return exported.run_decompositions({}) if inside else exported


def _is_of_vmap(node: Any) -> bool:
    return getattr(node.target, "__name__", "") == "_vmap_increment_nesting"
