"""Build a transformers network from a configuration's values, without weights by default.

Needs torch. Nothing is downloaded and no code but that of the installed transformers runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.auto import modeling_auto
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from planner.errors import BadInputError
from profiles.files import allowed_names, one_line
from profiles.from_hf.declared import with_declared_types
from profiles.from_hf.defaults import input_shapes
from profiles.from_hf.past import PAST_TOKENS, Past, Shapes, filled

_DROPPED = ("quantization_config", "attn_implementation", "_attn_implementation", "use_cache")


def build_network(values: dict[str, Any], device: str = "meta") -> nn.Module:
    """The network that ``architectures`` names, else the bare model, in evaluation mode.

    Parameters
    ----------
    values : dict
        Of a ``config.json``, checked (see `profiles.from_hf.config.read_config`).
    device : str
        That holds its weights: random ones, or none on ``meta``.

    Raises
    ------
    BadInputError
        transformers does not know the model type or cannot build the network.
    """
    model_type = model_type_of(values)
    known = transformers.CONFIG_MAPPING
    if model_type not in known:
        near = allowed_names(model_type, known.keys()).partition("there are")[0]
        if "auto_map" in values:
            near = "auto_map names code outside transformers, which is never run"
        raise BadInputError(
            f"model_type: found {model_type!r}, which transformers {transformers.__version__} "
            f"does not know; {near}".rstrip("; ")
        )
    kept = {key: value for key, value in values.items() if key not in _DROPPED}
    try:
        config_class = known[model_type]
        config = config_class.from_dict(with_declared_types(config_class, kept))
        for part in (config, config.get_text_config()):
            if hasattr(part, "use_cache"):
                part.use_cache = False  # a cache among the outputs is no result
        model_class = _model_class(config, values.get("architectures") or [])
        with torch.device(device):
            network = model_class._from_config(config)
    except (BadInputError, MemoryError):
        raise
    except Exception as error:  # whatever a configuration makes transformers' code raise
        if device == "meta" and "meta tensor" in str(error):
            return build_network(values, "cpu")  # it asks for values while it is built
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadInputError(f"transformers cannot build it: {reason}") from error
    for module in network.modules():
        if _is_rms_norm(module):
            module.__class__ = _RmsNorm
    built: nn.Module = network.eval()
    return built


def model_type_of(values: dict[str, Any]) -> str:
    """The model type that a configuration names, or its architecture does where it is old.

    Raises
    ------
    BadInputError
        transformers knows no architecture of that name.
    """
    found: str | None = values.get("model_type")
    if found is not None:
        return found
    (architecture, *_) = values["architectures"]
    for mapping in _class_names():
        for model_type, listed in mapping.items():
            if architecture in ((listed,) if isinstance(listed, str) else listed):
                return str(model_type)
    raise BadInputError(
        f"model_type is missing, and transformers {transformers.__version__} knows no architecture "
        f"{architecture!r}"
    )


def _class_names() -> list[Any]:
    """transformers' tables of the classes for each model type, one per kind of head."""
    return [
        mapping
        for name, mapping in vars(modeling_auto).items()
        if name.endswith("_MAPPING_NAMES")
        and hasattr(mapping, "items")
        and name != "CONFIG_MAPPING_NAMES"  # of configurations, which are no networks
    ]


class _RmsNorm(nn.Module):
    """Llama's norm as the one operator that it is; nodes then tell each other its statistics."""

    weight: nn.Parameter
    variance_epsilon: float

    def forward(self, tokens: Tensor) -> Tensor:
        shape = tuple(self.weight.shape)
        return functional.rms_norm(tokens, shape, self.weight, self.variance_epsilon)


def _is_rms_norm(module: nn.Module) -> bool:
    """Whether a module computes what Llama's norm does: many classes carry the same few lines."""
    code = getattr(type(module).forward, "__code__", None)
    known = LlamaRMSNorm.forward.__code__
    return code is not None and (code.co_code, code.co_names) == (known.co_code, known.co_names)


def _model_class(config: Any, architectures: list[str]) -> Any:
    """The class of the first architecture if transformers lists it for this type, else the bare."""
    for mapping in _class_names() if architectures else ():
        if architectures[0] in _heads(mapping, config):
            return getattr(transformers, architectures[0])
    if type(config) not in transformers.MODEL_MAPPING:
        heads = sorted({head for mapping in _class_names() for head in _heads(mapping, config)})
        raise BadInputError(
            f"transformers has no bare model of the type {config.model_type!r}; architectures must "
            f"name {' or '.join(heads[:5]) or 'a network that has it inside'}"
        )
    bare = transformers.MODEL_MAPPING[type(config)]
    return bare[0] if isinstance(bare, tuple) else bare


def _heads(mapping: Any, config: Any) -> tuple[str, ...]:
    """Names of the classes that a table of transformers' has for a type."""
    listed = mapping.get(config.model_type, ())
    return (listed,) if isinstance(listed, str) else tuple(listed)


def description(network: Any, values: dict[str, Any]) -> str:
    """What was built and what was left out, for a profile's note."""
    built = type(network).__name__
    parts = [f"architecture only, no weights: transformers {built}"]
    wanted = (values.get("architectures") or [built])[0]
    if wanted != built:
        parts.append(f"it has no {one_line(wanted)[:60]} of this type: the bare model instead")
    if "model_type" not in values:
        parts.append("model_type is missing, so it was found by the architecture's name")
    if "auto_map" in values:
        parts.append("auto_map left out: transformers' own class serves, the code is not run")
    if "quantization_config" in values:
        parts.append(_width(network, values["quantization_config"]))
    return "; ".join(parts)


def _width(network: Any, stored: Any) -> str:
    """What a configuration says of its weights' width, which the profile does not follow."""
    dtype = str(network.dtype).removeprefix("torch.")
    text = f"quantization_config left out, weights counted as {dtype}"
    values = stored if isinstance(stored, dict) else {}
    bits = next(
        (n for key in ("bits", "nbits", "w_bit") if isinstance(n := values.get(key), int)), 0
    )
    method = str(values.get("quant_method", ""))
    if values.get("load_in_4bit") is True or method in ("mxfp4", "nvfp4"):
        bits = 4
    elif values.get("load_in_8bit") is True or "fp8" in method:
        bits = 8
    return f"{text}; --weight-bits {bits} counts them as stored" if 0 < bits < 64 else text


@dataclass(frozen=True)
class Prepared:
    """A network that takes tensors by position, and what they are."""

    module: nn.Module
    shapes: Shapes
    dtypes: dict[str, str]


def prepared(
    network: Any,
    given: Shapes,
    batch: int | None = None,
    dtypes: dict[str, str] | None = None,
    *,
    images: bool = True,
) -> Prepared:
    """Make the network ready to be traced; it is changed.

    Parameters
    ----------
    network : transformers.PreTrainedModel
    given : dict of str to tuple of int
        Input shapes by transformers' names; ``past_tokens`` as told above.
    batch : int, optional
        Replaces dimension 0 of every input.
    dtypes : dict of str to str, optional
        Element types of inputs; otherwise what their names say.
    images : bool
        A network of texts and images takes both, where no shapes are given.

    Raises
    ------
    BadInputError
        An input has no default shape, or the network keeps nothing of earlier tokens.
    """
    past = given.get(PAST_TOKENS, ())
    if past and (len(past) != 1 or past[0] < 1):
        raise BadInputError(f"{PAST_TOKENS}: found {past}; give one number, such as 1024")
    shapes = input_shapes(network, given, batch, images=images)
    unknown = [name for name in dtypes or {} if name not in shapes]
    if unknown:
        raise BadInputError(
            f"a type is given for {unknown[0]!r}; the inputs are {', '.join(shapes)}"
        )
    types = {name: str(input_dtype(name, network)).removeprefix("torch.") for name in shapes}
    kept = filled(network, past[0], shapes) if past else None
    module = with_inputs(network, tuple(shapes), kept)
    return Prepared(module, shapes, types | (dtypes or {}))


def input_dtype(name: str, network: Any) -> torch.dtype:
    """Token ids, positions and masks are integers; the rest is of the network's own type."""
    if name.endswith(("_ids", "_mask")):
        return torch.int64
    dtype: torch.dtype = network.dtype
    return dtype


def with_inputs(network: Any, names: tuple[str, ...], past: Past | None = None) -> Any:
    """Make the network take its named inputs by position, behind what it keeps of earlier tokens.

    That is state of the network, as weights are: it counts as memory and crosses no link.
    """
    base: Any = type(network)

    def forward(self: Any, *tensors: Tensor) -> Any:
        arguments: dict[str, Any] = dict(zip(names, tensors, strict=True))
        if past is not None:
            arguments |= past.given(self)
        output = base.forward(self, **arguments)
        found = output.values() if isinstance(output, dict) else output
        return tuple(value for value in found if isinstance(value, Tensor))

    network.__class__ = type(base.__name__, (base,), {"forward": forward})
    return network
