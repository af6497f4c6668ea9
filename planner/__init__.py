"""Analytic latency planner for one neural network on several devices.

Three lines lead from a file to a plan::

    import planner
    model = planner.profile("model.onnx")
    best = planner.plan(model, "small-nodes", max_nodes=4)

Data flows one way: a ``ModelProfile``, a ``Cluster`` and a loss model make a ``Case``; its costs
and a ``Request`` make a ``Problem`` of bare arrays; ``solve`` answers with a ``Choice``; the cost
model costs that once more, as a ``Plan``.

Sources: DISCO (Qin et al., WACV 2024), AR-MDI (Li et al., 2022), MS-MDI (Li et al., 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.api import answer, compare, language_model, load, make_case, plan, profile

__all__ = ["answer", "compare", "language_model", "load", "make_case", "plan", "profile"]


def __getattr__(name: str) -> Any:
    """Import the face when it is first used: the parts of the core do without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from planner import api

    return getattr(api, name)
