"""A profile whose weights take another number of bits, such as those of quantised models."""

from __future__ import annotations

from fractions import Fraction

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError

MAX_WEIGHT_BITS = 64
_LONGEST = 40  # characters of a number

_INPUT_SIDE = ("conv_transpose", "gru", "lstm", "rnn")
"""Operators that use every weight once for each element of an input feature; others, for each of
an output feature."""


def with_weight_bits(profile: ModelProfile, bits: Fraction | float | str | None) -> ModelProfile:
    """Give every weight of a profile so many bits, its share of scales and zero points included.

    Weights are what is multiplied with activations, and what is looked up: kernels of convolutions,
    depthwise and transposed ones included, matrices of linear and recurrent layers, tables of
    embeddings; of a tied matrix too, whose parameters count elsewhere. Everything else keeps its
    size: biases, norms and their statistics, position embeddings that are added, tables of
    attention, caches, and what a file of quantised weights stores beside them. Bytes are rounded up
    once a layer. MACs, activations and messages stay as they are. Measured times belong to the old
    weights: they are dropped, and provenance says so.

    Parameters
    ----------
    profile : ModelProfile
    bits : Fraction, float or str, optional
        None: as they are. Above 0, at most 64; 4.5 are four bits and a 16-bit scale for 32 weights.

    Returns
    -------
    ModelProfile
        The profile itself where no byte changes.

    Raises
    ------
    BadInputError
        Another number, or none.
    """
    if bits is None:
        return profile
    exact = exact_bits(bits)
    layers = tuple(_with_bits(layer, exact, profile.element_bytes) for layer in profile.layers)
    if all(new is old for new, old in zip(layers, profile.layers, strict=True)):
        return profile
    timed = any(layer.measured_s for layer in layers)
    if timed:
        layers = tuple(layer.model_copy(update={"measured_s": {}}) for layer in layers)
    note = _note(profile, exact, timed)
    kept = {name: getattr(profile, name) for name in _KEPT}  # a copy has sums of the old bytes
    return ModelProfile.model_construct(
        **kept,
        weight_bits=float(exact),
        layers=layers,
        provenance=profile.provenance.model_copy(update={"note": note}),
    )


_KEPT = ModelProfile.model_fields.keys() - {
    "weight_bits",
    "layers",
    "provenance",
    "declared_totals",
}


def exact_bits(given: Fraction | float | str) -> Fraction:
    """Bits of a weight as they were written.

    Raises
    ------
    BadInputError
        A number that no weight has, or none.
    """
    text = str(given)
    try:
        # a long exponent would be worked out
        found = Fraction(text) if len(text) <= _LONGEST and "e" not in text.lower() else None
    except (ValueError, ZeroDivisionError):
        found = None
    if found is None or not 0 < found <= MAX_WEIGHT_BITS:
        raise BadInputError(
            f"weight bits: found {text[:_LONGEST]}; give a number above 0, at most "
            f"{MAX_WEIGHT_BITS}, such as 4.5"
        )
    return found


def _with_bits(layer: LayerProfile, bits: Fraction, element_bytes: int) -> LayerProfile:
    weights = _weights(layer, element_bytes)
    if not weights:
        return layer
    present = _present_bytes(layer, weights)
    size = -(-weights * bits.numerator // (8 * bits.denominator))
    if size == present:
        return layer
    changed = {"param_bytes": layer.param_bytes - present + size, "weight_bytes": size}
    shared = {
        name: stored - present + size if stored >= present else stored
        for name, stored in layer.shared_bytes.items()
    }
    if layer.read_bytes is not None:  # the same share of what is stored
        changed["read_bytes"] = -(-layer.read_bytes * changed["param_bytes"] // layer.param_bytes)
    return layer.model_copy(update={**changed, "shared_bytes": shared})


def _weights(layer: LayerProfile, element_bytes: int) -> int:
    """How many weights a layer has, whether or not they join all features."""
    if layer.weight_params or not layer.param_bytes:
        return layer.weight_params
    if layer.flow.mixes and not layer.macs:  # a table; a tied one has no parameters of its own
        return layer.read_params or layer.param_bytes // element_bytes
    op = layer.op
    if not (layer.flow.mixes or op.startswith(("conv", *_INPUT_SIDE))):
        return 0
    uses = layer.output_elements_per_feature
    if op.startswith(_INPUT_SIDE):
        uses = layer.elements_per_feature
    found = layer.macs // uses
    return found if found <= (layer.read_params or found) else 0


def _present_bytes(layer: LayerProfile, weights: int) -> int:
    if layer.weight_bytes is not None:
        return layer.weight_bytes
    if layer.weight_params:
        return layer.mixing_weight_bytes
    stored = layer.read_params or weights
    each = layer.param_bytes // stored
    return weights * each if each else weights * layer.param_bytes // stored


_NOTED = "weights were given "
_DROPPED = "measured times of the old weights were dropped"


def _note(profile: ModelProfile, bits: Fraction, timed: bool) -> str:
    """The profile's note, and that its weights were given a width; instead of an older such one."""
    kept = [part for part in profile.provenance.note.split("; ") if not part.startswith(_NOTED)]
    said = f"{_NOTED}{float(bits):.6g} bits each with their scales"
    return "; ".join(filter(None, [*kept, said, *([_DROPPED] if timed else [])]))
