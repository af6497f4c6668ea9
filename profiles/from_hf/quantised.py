"""How many bits a weight takes where a ``quantization_config`` says that it was quantised.

Scales and zero points count with the weights that share them (docs/language-models.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from planner.errors import BadInputError

_SCALE = 16  # bits of a scale, where the method does not say
_MOST_GROUP = 2**20


@dataclass(frozen=True)
class Widths:
    """Bits of the weights of every part of a model.

    Attributes
    ----------
    plain : Fraction
        Of what was not quantised.
    narrow : Fraction
        Of what was.
    parts : frozenset of str
        What was: ``attention``, ``mlp``, ``experts``, ``head``, ``embedding``.
    said : str
        How, in words.
    """

    plain: Fraction
    narrow: Fraction
    parts: frozenset[str]
    said: str = ""

    def of(self, part: str) -> Fraction:
        """Bits of a weight of a part."""
        return self.narrow if part in self.parts else self.plain


_BLOCKS = frozenset(("attention", "mlp", "experts"))


def widths_of(config: dict[str, Any] | None, plain: int) -> Widths:
    """Read a ``quantization_config``.

    Parameters
    ----------
    config : dict, optional
        None: nothing was quantised.
    plain : int
        Bits of a number that was not.

    Raises
    ------
    BadInputError
        A method that is not known, or a width that no weight has.
    """
    if not config:
        return Widths(Fraction(plain), Fraction(plain), frozenset())
    method = str(config.get("quant_method") or _implied(config))
    rule = _METHODS.get(method)
    if rule is None:
        raise BadInputError(
            f"quantization_config.quant_method: found {method[:40]!r}; known are "
            f"{', '.join(sorted(_METHODS))}; give --weight-bits and leave it out"
        )
    bits, parts = rule(config)
    left_out = _left_out(config)
    return Widths(Fraction(plain), bits, parts - left_out, f"{method}, {float(bits):.4g} bits")


def _implied(config: dict[str, Any]) -> str:
    """What older files do not name."""
    return "bitsandbytes" if {"load_in_4bit", "load_in_8bit"} & config.keys() else ""


def _left_out(config: dict[str, Any]) -> frozenset[str]:
    names: list[str] = []
    for key in ("modules_to_not_convert", "ignore", "ignored_layers", "llm_int8_skip_modules"):
        found = config.get(key)
        names += [str(item) for item in found] if isinstance(found, list) else []
    whole = [name for name in names if not any(part.isdigit() for part in name.split("."))]
    found = {part for part, words in _WORDS.items() if any(w in n for n in whole for w in words)}
    return frozenset(found)


_WORDS = {"attention": ("self_attn", "attention"), "head": ("lm_head",), "embedding": ("embed",)}
"""What modules that are left out are called."""


def _number(config: dict[str, Any], key: str, default: int, most: int) -> int:
    found = config.get(key)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= most:
        raise BadInputError(
            f"quantization_config.{key}: found {str(found)[:40]!r}; give 1 to {most:,}"
        )
    return found


def _grouped(config: dict[str, Any]) -> tuple[Fraction, frozenset[str]]:
    """GPTQ and AWQ: a 16-bit scale and a zero point of the weights' width for each group."""
    bits = _number(config, "bits", _number(config, "w_bit", 4, 16), 16)
    group = config.get("group_size", config.get("q_group_size", 128))
    if group == -1:  # one for a whole column: next to nothing
        return Fraction(bits), _BLOCKS
    size = _number({"group_size": group}, "group_size", 128, _MOST_GROUP)
    zero = bits if config.get("zero_point", True) or config.get("sym") is False else 0
    parts = _BLOCKS | ({"head"} if config.get("lm_head") is True else set())
    return bits + Fraction(_SCALE + zero, size), frozenset(parts)


def _fp8(config: dict[str, Any]) -> tuple[Fraction, frozenset[str]]:
    """8 bits, and a 32-bit scale for each block where they are in blocks."""
    block = config.get("weight_block_size")
    if not isinstance(block, list) or len(block) != 2:
        return Fraction(8), _BLOCKS
    rows, columns = (
        _number({"weight_block_size": n}, "weight_block_size", 128, _MOST_GROUP) for n in block
    )
    return 8 + Fraction(32, rows * columns), _BLOCKS


def _mxfp4(config: dict[str, Any]) -> tuple[Fraction, frozenset[str]]:
    """4 bits and an 8-bit scale for 32 weights, of the experts alone."""
    return Fraction(17, 4), frozenset(("experts",))


def _bitsandbytes(config: dict[str, Any]) -> tuple[Fraction, frozenset[str]]:
    """8 bits; or 4 and a 32-bit scale for 64 weights, which are 8-bit ones if quantised again."""
    if not config.get("load_in_4bit"):
        return Fraction(8), _BLOCKS
    if config.get("bnb_4bit_use_double_quant"):
        return 4 + Fraction(8, 64) + Fraction(32, 64 * 256), _BLOCKS
    return 4 + Fraction(32, 64), _BLOCKS


def _compressed(config: dict[str, Any]) -> tuple[Fraction, frozenset[str]]:
    """What compressed-tensors says of its first group of layers."""
    groups = config.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    if not isinstance(weights, dict):
        raise BadInputError("quantization_config.config_groups: says nothing of weights")
    bits = _number(weights, "num_bits", 8, 16)
    if weights.get("group_size") in (None, -1):
        return Fraction(bits), _BLOCKS
    return bits + Fraction(_SCALE, _number(weights, "group_size", 128, _MOST_GROUP)), _BLOCKS


_METHODS: dict[str, Callable[[dict[str, Any]], tuple[Fraction, frozenset[str]]]] = {
    "gptq": _grouped,
    "awq": _grouped,
    "fp8": _fp8,
    "fbgemm_fp8": _fp8,
    "mxfp4": _mxfp4,
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed,
}
