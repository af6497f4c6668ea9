"""The path that a module takes for one input, where its control flow depends on the data.

torch.export refuses such modules. Here the module really runs, on zeros, and what it calls is
written down: other inputs may take another path, which the profile says.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from profiles.from_torch.inputs import positional
from profiles.from_torch.live import read_trace
from profiles.from_torch.program import AtenProgram

if TYPE_CHECKING:
    import torch

_MEMORY_SHARE = 0.5  # of the free memory, that weights may fill
NOTE = (
    "torch.export refuses the module; the graph is the path that it takes for inputs of zeros "
    "and weights of zeros where it has none; parameters of experts that it leaves out are stored "
    "beside those of one that it takes"
)


def trace_path(
    module: torch.nn.Module, input_shapes: dict[str, tuple[int, ...]], types: dict[str, str]
) -> AtenProgram:
    """Run a module on zeros and write its ATen calls down.

    Raises
    ------
    Exception
        Whatever the module's own code raises.
    """
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    module = on_cpu(module)
    arguments = tuple(
        torch.zeros(shape, dtype=getattr(torch, types[label]))
        for label, shape in input_shapes.items()
    )
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(positional(module, input_shapes))
        stack.enter_context(_module_paths(module))
        trace = make_fx(
            lambda *inputs: module(*inputs),
            pre_dispatch=True,
            _error_on_data_dependent_ops=False,
        )
        graph_module = trace(*arguments)
    return read_trace(graph_module, tuple(input_shapes), dict(module.named_parameters()))


def weights_fit(module: torch.nn.Module) -> bool:
    """Whether there is memory to run the module with weights of its own."""
    weight_bytes = sum(p.numel() * p.element_size() for p in module.parameters())
    return weight_bytes <= _MEMORY_SHARE * _free_memory_bytes()


def _free_memory_bytes() -> float:
    """Free memory; without a limit where the system does not tell."""
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return math.inf
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def on_cpu(module: torch.nn.Module) -> torch.nn.Module:
    """The module, or a copy with weights of zeros where it has none."""
    import torch

    tensors = (*module.parameters(), *module.buffers())
    if not any(tensor.is_meta for tensor in tensors):
        return module
    tied = _tied(module)
    with torch.no_grad():
        module = copy.deepcopy(module).to_empty(device="cpu")
        for owner, name, first, other in tied:
            setattr(module.get_submodule(owner), name, getattr(module.get_submodule(first), other))
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()  # an index left as it was found could point anywhere
    return module


def _tied(module: torch.nn.Module) -> list[tuple[str, str, str, str]]:
    """Parameters that are another one: the paths and names of both; `to_empty` parts them."""
    first: dict[int, tuple[str, str]] = {}
    found = []
    for path, part in module.named_modules(remove_duplicate=False):
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            known = first.setdefault(id(parameter), (path, name))
            if known != (path, name):
                found.append((path, name, *known))
    return found


@contextmanager
def _module_paths(module: torch.nn.Module) -> Iterator[None]:
    """Note with each traced call which submodule makes it."""
    from torch.fx import traceback

    running: list[str] = []

    def note() -> None:
        path = running[-1] if running else ""
        traceback.current_meta["nn_module_stack"] = {path: (path, "")}

    handles = []
    for path, part in module.named_modules():

        def enter(_: Any, __: Any, path: str = path) -> None:
            running.append(path)
            note()

        def leave(_: Any, __: Any, ___: Any) -> None:
            running.pop()
            note()

        handles.append(part.register_forward_pre_hook(enter))
        handles.append(part.register_forward_hook(leave))
    try:
        with traceback.preserve_node_meta():
            yield
    finally:
        for handle in handles:
            handle.remove()
