"""Every layer of a torch module, timed where it stands in the module's run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx

from planner.measure.running.operators import drawn
from planner.runtime.compiling.folding import fold_batch_norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.runtime.reading.traced import TracedModel

WARM_UP = 2


def layer_times(
    traced: TracedModel, *, deadline: float, enough: int
) -> dict[str, NDArray[np.float64]]:
    """Run the module again and again, as runtimes have it, and time every call of its graph.

    Batch norms are folded into the convolution before them and have no time. What several layers
    stand for in one call is the last one's.

    Parameters
    ----------
    traced : TracedModel
    deadline : float
        On the monotonic clock, s: no run begins after it, but one is made.
    enough : int
        Runs after which nothing more is learned.

    Returns
    -------
    dict of str to float array, shape (runs,)
        Seconds by layer.
    """
    module = traced.program.module()
    fold_batch_norm(module)
    inputs = [drawn(spec.shape, spec.dtype) for spec in traced.profile.inputs]
    layers = {call.node: call.layers[-1] for call in traced.calls if call.layers}
    with torch.inference_mode():
        for _ in range(WARM_UP):
            _Timed(module).run(*inputs)
        runs: list[dict[str, float]] = []
        while not runs or (len(runs) < enough and time.monotonic() < deadline):
            clock = _Timed(module)
            clock.run(*inputs)
            runs.append(clock.seconds)
    return {
        layer: np.array([run[node] for run in runs])
        for node, layer in layers.items()
        if node in runs[0]
    }


class _Timed(fx.Interpreter):
    """Runs a graph and keeps what each call takes."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seconds: dict[str, float] = {}
        self._now = ""

    def run_node(self, n: fx.Node) -> Any:
        """Run one node."""
        self._now = n.name
        return super().run_node(n)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Call an operator, between two looks at the clock."""
        begin = time.perf_counter()
        made = super().call_function(target, args, kwargs)
        self.seconds[self._now] = time.perf_counter() - begin
        return made
