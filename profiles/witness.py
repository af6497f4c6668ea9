"""A second count by fvcore, held against ours module by module.

fvcore traces a real run on the CPU, so it sees what torch.export may have rewritten; it does
not know every operator, and names the ones that it skipped.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections import Counter, defaultdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from planner.domain.model_profile import ModelProfile, Witness
from planner.errors import BadInputError
from profiles.graph import Graph, Operator
from profiles.macs import MAC_FORMULAS
from profiles.torch_ops import ATEN_KINDS

if TYPE_CHECKING:
    import torch

_FVCORE_KINDS = {
    "conv": "conv",
    "linear": "linear",
    "addmm": "linear",
    "matmul": "matmul",
    "bmm": "matmul",
    "einsum": "matmul",
}
"""fvcore's names of the operators that both sides count in MACs.

Its figures for norms, pooling and interpolation count other operations and are left out.
"""
_MEMORY_SHARE = 0.5  # of the free memory, that a witness may fill with weights


def without_witness(profile: ModelProfile, why: str) -> ModelProfile:
    """The profile, saying why nobody else counted it."""
    return _with_coverage(profile, witness_note=why)


def add_witness(
    profile: ModelProfile,
    graph: Graph,
    module: torch.nn.Module,
    input_shapes: dict[str, tuple[int, ...]],
) -> ModelProfile:
    """Let fvcore count the module and hold its count against ours.

    Raises
    ------
    BadInputError
        The counts of a module differ and no operator that fvcore skipped there explains it.
    """
    weight_bytes = sum(p.numel() * p.element_size() for p in module.parameters())
    if weight_bytes > _MEMORY_SHARE * _free_memory_bytes():
        return without_witness(profile, "the weights would not fit in memory")
    analysis = _analysis(module, input_shapes)
    counted: dict[str, Counter[str]] = {
        path: Counter(dict(counts)) for path, counts in analysis.by_module_and_operator().items()
    }
    own = {path: _own_counts(path, counted) for path in counted}
    by_layer, by_module = _compare(profile, graph, own, analysis)
    layers = tuple(
        layer.model_copy(update={"witness_macs": by_layer.get(layer.name)})
        for layer in profile.layers
    )
    witness = Witness(
        tool=f"fvcore {version('fvcore')}",
        total_macs=sum(sum(counts.values()) for counts in by_module.values()),
        skipped_ops=dict(analysis.unsupported_ops()),
        note="operators that it skipped count as 0 in its total",
    )
    return _with_coverage(profile.model_copy(update={"layers": layers}), witness=witness)


def _with_coverage(profile: ModelProfile, **update: Any) -> ModelProfile:
    return profile.model_copy(update={"coverage": profile.coverage.model_copy(update=update)})


def _free_memory_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _analysis(module: torch.nn.Module, input_shapes: dict[str, tuple[int, ...]]) -> Any:
    import torch
    from fvcore.nn import FlopCountAnalysis

    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        module = copy.deepcopy(module).to_empty(device="cpu")
    arguments = tuple(torch.zeros(shape) for shape in input_shapes.values())
    analysis = FlopCountAnalysis(module.eval(), arguments)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        analysis.total()
    return analysis


def _own_counts(path: str, counted: dict[str, Counter[str]]) -> Counter[str]:
    """A module's counts without those of its children, by kind."""
    prefix = f"{path}." if path else ""
    own = Counter(counted[path])
    for other, counts in counted.items():
        if other != path and other.startswith(prefix) and "." not in other[len(prefix) :]:
            own.subtract(counts)
    kinds: Counter[str] = Counter()
    for name, count in own.items():
        if name in _FVCORE_KINDS:
            kinds[_FVCORE_KINDS[name]] += int(count)
    return kinds


def _compare(
    profile: ModelProfile, graph: Graph, own: dict[str, Counter[str]], analysis: Any
) -> tuple[dict[str, int], dict[str, Counter[str]]]:
    """fvcore's count by layer and by module, after holding every module against ours."""
    operators: dict[tuple[str, str], list[Operator]] = defaultdict(list)
    for operator in graph.operators:
        if operator.kind in MAC_FORMULAS:
            kind = "conv" if operator.kind == "conv_transpose" else operator.kind
            operators[operator.module, kind].append(operator)
    macs = {layer.name: layer.macs for layer in profile.layers}
    by_layer: dict[str, int] = {}
    keys = set(operators) | {
        (path, kind) for path, counts in own.items() for kind, count in counts.items() if count
    }
    for path, kind in sorted(keys):
        here = operators[path, kind]
        theirs = own.get(path, Counter())[kind]
        ours = sum(macs[operator.name] for operator in here)
        if ours != theirs and not _explained(path, ours, theirs, analysis):
            raise BadInputError(
                f"{path or profile.name}: {kind} counts {ours} MACs here and {theirs} by fvcore, "
                "and no operator that fvcore skipped explains the difference"
            )
        if len(here) == 1:
            by_layer[here[0].name] = theirs
    return by_layer, own


def _explained(path: str, ours: int, theirs: int, analysis: Any) -> bool:
    """Whether fvcore skipped an operator in this module that may hold the difference."""
    skipped = analysis.unsupported_ops(path)
    return ours > theirs and any(
        ATEN_KINDS.get(name.removeprefix("aten::"), ("opaque", ""))[0] == "opaque"
        for name in skipped
    )
