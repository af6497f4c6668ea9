"""A second count by fvcore, held against ours module by module.

fvcore traces a real run on the CPU, so it sees what torch.export may have rewritten; it does
not know every operator, and names the ones that it skipped.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from typing import TYPE_CHECKING, Any

from planner.domain.model_profile import ModelProfile, Witness
from profiles.from_torch.emitter import base_name
from profiles.from_torch.handlers import is_free
from profiles.from_torch.hygiene import attention_written_out, evaluation_mode, first_line
from profiles.from_torch.inputs import positional
from profiles.from_torch.traced import on_cpu, weights_fit
from profiles.graph import Graph, Operator
from profiles.macs import MAC_FORMULAS
from profiles.meanings.einsum import parsed

if TYPE_CHECKING:
    import torch

_FVCORE_KINDS = {
    "conv": "conv",
    "linear": "product",
    **dict.fromkeys(("matmul", "bmm", "mm", "addmm", "einsum"), "product"),
}
"""fvcore's names of the operators that both sides count in MACs.

Its figures for norms, pooling and interpolation count other operations and are left out.
"""
_COUNTED_AS = {
    "conv_transpose": "conv",
    "linear": "product",
    "matmul": "product",
    "recurrent_cell": "product",
}
"""Our kinds under the name by which both sides are held together; fvcore sees the parts of a
recurrent cell where torch.export names the whole."""


class WitnessWarning(UserWarning):
    """Two counters contradict each other."""


def without_witness(profile: ModelProfile, why: str) -> ModelProfile:
    """The profile, saying why nobody else counted it."""
    return _with_coverage(profile, witness_note=why)


def add_witness(
    profile: ModelProfile,
    graph: Graph,
    module: torch.nn.Module,
    input_shapes: dict[str, tuple[int, ...]],
    types: dict[str, str],
) -> ModelProfile:
    """Let fvcore count the module and hold its count against ours.

    Where fvcore cannot run the module, the profile says so and has no witness. Where the counts of
    a module differ, and no operator there that only one side counts explains it, the profile says
    that too, and a `WitnessWarning` does.
    """
    if not weights_fit(module):
        return without_witness(profile, "the weights would not fit in memory")
    try:
        analysis = _analysis(module, input_shapes, types)
    except Exception as error:  # whatever the module's own code raises outside torch.export
        return without_witness(profile, f"fvcore cannot run it: {first_line(error)}")
    counted: dict[str, Counter[str]] = {
        path: Counter(dict(counts)) for path, counts in analysis.by_module_and_operator().items()
    }
    own = {path: _own_counts(path, counted) for path in counted}
    found = _compare(profile, graph, own, analysis, _canonical_paths(module))
    for difference in found.differences:
        warnings.warn(difference, WitnessWarning, stacklevel=3)
    layers = tuple(
        layer.model_copy(update={"witness_macs": found.by_layer.get(layer.name)})
        for layer in profile.layers
    )
    witness = Witness(
        tool=f"fvcore {version('fvcore')}",
        total_macs=found.total_macs,
        differences=found.differences,
        skipped_ops=dict(analysis.unsupported_ops()),
        note="operators that it skipped count as 0 in its total",
    )
    return _with_coverage(profile.model_copy(update={"layers": layers}), witness=witness)


def _with_coverage(profile: ModelProfile, **update: Any) -> ModelProfile:
    return profile.model_copy(update={"coverage": profile.coverage.model_copy(update=update)})


def _analysis(
    module: torch.nn.Module, input_shapes: dict[str, tuple[int, ...]], types: dict[str, str]
) -> Any:
    import torch
    from fvcore.nn import FlopCountAnalysis

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        module = on_cpu(module)
        arguments = tuple(
            torch.zeros(shape, dtype=getattr(torch, types.get(label, "float32")))
            for label, shape in input_shapes.items()
        )
        with evaluation_mode(module), attention_written_out(), positional(module, input_shapes):
            analysis = FlopCountAnalysis(module, arguments)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            analysis.set_op_handle("aten::einsum", _einsum_macs)
            analysis.total()
    return analysis


def _einsum_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """MACs of the pairs from the left to the right.

    fvcore's own handle takes whichever order is the cheapest, and half of a pair that sums nothing.
    """
    from fvcore.nn.jit_handles import get_shape

    shapes = [tuple(get_shape(value)) for value in inputs[1].node().inputs()]
    (first, *others), made, sizes = parsed(inputs[0].toIValue(), shapes)
    known, macs = set(first), 0
    for number, second in enumerate(map(set, others), start=1):
        kept = (known | second) & set(made).union(*others[number:])
        macs += prod(sizes[index] for index in kept | (known & second))
        known = kept
    return macs


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


@dataclass(frozen=True)
class _Comparison:
    """fvcore's count by layer, of all that both count, and where the two contradict each other."""

    by_layer: dict[str, int]
    total_macs: int
    differences: tuple[str, ...]


def _compare(
    profile: ModelProfile,
    graph: Graph,
    own: dict[str, Counter[str]],
    analysis: Any,
    canonical: dict[str, str],
) -> _Comparison:
    """Hold fvcore's counts against ours, module by module and kind by kind."""
    operators: dict[tuple[str, str], list[Operator]] = defaultdict(list)
    unknown_here: set[str] = set()
    for operator in graph.operators:
        path = canonical.get(operator.module, operator.module)
        if operator.kind in MAC_FORMULAS:
            cell = operator.kind == "recurrent" and operator.op.endswith("_cell")
            operators[path, _counted_as("recurrent_cell" if cell else operator.kind)].append(
                operator
            )
        elif operator.kind == "opaque":
            unknown_here.add(path)
    made: Counter[tuple[str, str]] = Counter()  # of constants alone, where fvcore sees it
    tables: Counter[tuple[str, str]] = Counter()  # of that, what is in no layer
    for making in graph.makings:
        key = canonical.get(making.module, making.module), _counted_as(making.kind)
        made[key] += making.macs
        tables[key] += 0 if making.counted else making.macs
    making_macs = {operator.name: operator.making_macs for operator in graph.operators}
    macs = {layer.name: layer.macs - making_macs[layer.name] for layer in profile.layers}
    by_layer: dict[str, int] = {}
    total_macs = 0
    differences = []
    keys = {*operators, *made} | {
        (path, kind) for path, counts in own.items() for kind, count in counts.items() if count
    }
    for path, kind in sorted(keys):
        here = operators[path, kind]
        theirs = own.get(path, Counter())[kind]
        ours = sum(macs[operator.name] for operator in here) + made[path, kind]
        explained = _skipped_unknown(path, analysis) if ours > theirs else path in unknown_here
        differs = ours != theirs and not explained
        if differs:
            differences.append(
                f"{path or profile.name}: {kind} counts {ours} MACs here and {theirs} by fvcore, "
                "and no operator that only one of them knows explains the difference"
            )
        if here or made[path, kind]:
            total_macs += max(theirs - tables[path, kind], 0)
        if len(here) == 1 and not made[path, kind] and (differs or ours == theirs):
            by_layer[here[0].name] = theirs
    return _Comparison(by_layer, total_macs, tuple(differences))


def _counted_as(kind: str) -> str:
    return _COUNTED_AS.get(kind, kind)


def _skipped_unknown(path: str, analysis: Any) -> bool:
    """Whether fvcore skipped an operator in this module that may have MACs."""
    return any(
        not is_free(base_name(name.replace("::", ".", 1)))
        for name in analysis.unsupported_ops(path)
    )
