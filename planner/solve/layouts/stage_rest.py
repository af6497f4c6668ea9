"""What a stage must still store and hold from every state on, whatever it chooses.

Two labels that will hold the same at a later, fuller layer differ in nothing: their peaks count
as that layer's. And a label whose remaining weights cannot fit is dropped at once.
"""

from __future__ import annotations

import numpy as np

from planner.solve.layout_problem import Floats
from planner.solve.layouts.bounds import Network
from planner.solve.problem import NO_LIMIT


class StageRest:
    """Least weights and least peak of the rest of a stage, ``[l][q, s, p]``.

    Attributes
    ----------
    weights, peak : list of float arrays, shape (Q, S, P)
        Before every layer and behind the last one; infinite where nothing goes on.
    """

    def __init__(self, network: Network) -> None:
        problem, group = network.problem, network.group
        positions = problem.arcs[0].weight_bytes.shape[2]
        shape = (len(group), int(problem.states[-1]), positions)
        self.weights: list[Floats] = [np.zeros(shape)]
        self.peak: list[Floats] = [np.zeros(shape)]
        may_leave = np.diff(network.graph.first_edge) > 0
        spread = [
            (arcs.weight_bytes[group].astype(np.float64), arcs.allowed[group])
            for arcs in problem.arcs
        ]
        for layer in range(problem.layers - 1, -1, -1):
            arcs = problem.arc(layer)
            weights, allowed = spread[int(problem.kind[layer])]
            closed = ~allowed[:, arcs.option, None]
            stored = weights[:, arcs.option] + self.weights[-1][:, arcs.after]
            held = arcs.held_bytes(group[:, None], np.arange(len(arcs.before))[None])
            peak = np.maximum(held, self.peak[-1][:, arcs.after])
            states, first = arcs.begins
            for found, values in ((self.weights, stored), (self.peak, peak)):
                here = np.full((len(group), int(problem.states[layer]), positions), np.inf)
                values = np.where(closed, np.inf, values)
                here[:, states] = np.minimum.reduceat(values, first, axis=1)
                if layer and problem.cut_kind[layer - 1] >= 0:
                    here[may_leave] = 0.0  # the stage may end here
                found.append(here)
        self.weights.reverse()
        self.peak.reverse()
        self.limits = np.minimum(problem.memory_limit_bytes, NO_LIMIT)[:, :positions]
