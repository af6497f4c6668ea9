"""A second count by fvcore, held against ours module by module.

fvcore traces a real run on the CPU, so it sees what torch.export may have rewritten; it does
not know every operator, and names the ones that it skipped.
"""

from __future__ import annotations

import copy
import math
import os
import warnings
from collections import Counter, defaultdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from planner.domain.model_profile import ModelProfile, Witness
from planner.errors import BadInputError
from profiles.from_torch.hygiene import evaluation_mode, first_line
from profiles.from_torch.ops import ATEN_KINDS
from profiles.graph import Graph, Operator
from profiles.macs import FREE_KINDS, MAC_FORMULAS

if TYPE_CHECKING:
    import torch

_FVCORE_KINDS = {
    "conv": "conv",
    "linear": "linear",
    **{name: "matmul" for name in ("matmul", "bmm", "mm", "addmm", "einsum")},
}
"""fvcore's names of the operators that both sides count in MACs.

Its figures for norms, pooling and interpolation count other operations and are left out.
"""
_KIND_OF = {name.partition(".")[0].rstrip("_"): kind for name, (kind, _) in ATEN_KINDS.items()}
"""Our kind of an operator by its name alone, as fvcore gives it: ``add_`` is ``add.Tensor``."""
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

    Where fvcore cannot run the module, the profile says so and has no witness.

    Raises
    ------
    BadInputError
        The counts of a module differ, and no operator there that only one side counts
        explains it.
    """
    weight_bytes = sum(p.numel() * p.element_size() for p in module.parameters())
    if weight_bytes > _MEMORY_SHARE * _free_memory_bytes():
        return without_witness(profile, "the weights would not fit in memory")
    try:
        analysis = _analysis(module, input_shapes)
    except Exception as error:  # whatever the module's own code raises outside torch.export
        return without_witness(profile, f"fvcore cannot run it: {first_line(error)}")
    counted: dict[str, Counter[str]] = {
        path: Counter(dict(counts)) for path, counts in analysis.by_module_and_operator().items()
    }
    own = {path: _own_counts(path, counted) for path in counted}
    by_layer, total_macs = _compare(profile, graph, own, analysis, _canonical_paths(module))
    layers = tuple(
        layer.model_copy(update={"witness_macs": by_layer.get(layer.name)})
        for layer in profile.layers
    )
    witness = Witness(
        tool=f"fvcore {version('fvcore')}",
        total_macs=total_macs,
        skipped_ops=dict(analysis.unsupported_ops()),
        note="operators that it skipped count as 0 in its total",
    )
    return _with_coverage(profile.model_copy(update={"layers": layers}), witness=witness)


def _with_coverage(profile: ModelProfile, **update: Any) -> ModelProfile:
    return profile.model_copy(update={"coverage": profile.coverage.model_copy(update=update)})


def _free_memory_bytes() -> float:
    """Free memory; without a limit where the system does not tell."""
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return math.inf
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _analysis(module: torch.nn.Module, input_shapes: dict[str, tuple[int, ...]]) -> Any:
    import torch
    from fvcore.nn import FlopCountAnalysis

    tensors = (*module.parameters(), *module.buffers())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if any(tensor.is_meta for tensor in tensors):
            module = copy.deepcopy(module).to_empty(device="cpu")
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.zero_()  # an index left as it was found could point anywhere
        arguments = tuple(torch.zeros(shape) for shape in input_shapes.values())
        with evaluation_mode(module):
            analysis = FlopCountAnalysis(module, arguments)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            analysis.total()
    return analysis


def _canonical_paths(module: torch.nn.Module) -> dict[str, str]:
    """Every path of a submodule, to the first one: fvcore counts a reused module there."""
    first: dict[int, str] = {}
    return {
        path: first.setdefault(id(part), path)
        for path, part in module.named_modules(remove_duplicate=False)
    }


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
    profile: ModelProfile,
    graph: Graph,
    own: dict[str, Counter[str]],
    analysis: Any,
    canonical: dict[str, str],
) -> tuple[dict[str, int], int]:
    """fvcore's count by layer and of all that both count, after holding it against ours."""
    operators: dict[tuple[str, str], list[Operator]] = defaultdict(list)
    unknown_here: set[str] = set()
    for operator in graph.operators:
        path = canonical.get(operator.module, operator.module)
        if operator.kind in MAC_FORMULAS:
            counted_as = "conv" if operator.kind == "conv_transpose" else operator.kind
            operators[path, counted_as].append(operator)
        elif operator.kind == "opaque":
            unknown_here.add(path)
    macs = {layer.name: layer.macs for layer in profile.layers}
    by_layer: dict[str, int] = {}
    total_macs = 0
    keys = set(operators) | {
        (path, kind) for path, counts in own.items() for kind, count in counts.items() if count
    }
    for path, kind in sorted(keys):
        here = operators[path, kind]
        theirs = own.get(path, Counter())[kind]
        ours = sum(macs[operator.name] for operator in here)
        explained = _skipped_unknown(path, analysis) if ours > theirs else path in unknown_here
        if ours != theirs and not explained:
            raise BadInputError(
                f"{path or profile.name}: {kind} counts {ours} MACs here and {theirs} by fvcore, "
                "and no operator that only one of them knows explains the difference"
            )
        if here:
            total_macs += theirs
        if len(here) == 1 and ours == theirs:
            by_layer[here[0].name] = theirs
    return by_layer, total_macs


def _skipped_unknown(path: str, analysis: Any) -> bool:
    """Whether fvcore skipped an operator in this module that may have MACs."""
    return any(
        _KIND_OF.get(name.removeprefix("aten::").rstrip("_"), "opaque") not in FREE_KINDS
        for name in analysis.unsupported_ops(path)
    )
