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
from profiles.files import allowed_names

DEFAULT_TOKENS = 128
DEFAULT_IMAGE_SIZE = 224
PAST_TOKENS = "past_tokens"
"""Stands among the input shapes for the tokens that a key-value cache holds: ``(1024,)``."""
_DROPPED = ("quantization_config", "attn_implementation", "_attn_implementation", "use_cache")

Shapes = dict[str, tuple[int, ...]]


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
    model_type = values["model_type"]
    known = transformers.CONFIG_MAPPING
    if model_type not in known:
        near = allowed_names(model_type, known.keys()).partition("there are")[0]
        raise BadInputError(
            f"model_type: found {model_type!r}, which transformers {transformers.__version__} "
            f"does not know; {near}".rstrip("; ")
        )
    kept = {key: value for key, value in values.items() if key not in _DROPPED}
    try:
        config = known[model_type].from_dict(kept)
        for part in (config, config.get_text_config()):
            if hasattr(part, "use_cache"):
                part.use_cache = False  # a cache among the outputs is no result
        model_class = _model_class(config, values.get("architectures") or [])
        with torch.device(device):
            network = model_class._from_config(config)
    except MemoryError:
        raise
    except Exception as error:  # whatever a configuration makes transformers' code raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadInputError(f"transformers cannot build it: {reason}") from error
    for module in network.modules():
        if _is_rms_norm(module):
            module.__class__ = _RmsNorm
    built: nn.Module = network.eval()
    return built


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
    for name, mapping in vars(modeling_auto).items():
        if architectures and name.endswith("_MAPPING_NAMES") and hasattr(mapping, "get"):
            listed = mapping.get(config.model_type, ())
            if architectures[0] in ((listed,) if isinstance(listed, str) else listed):
                return getattr(transformers, architectures[0])
    bare = transformers.MODEL_MAPPING[type(config)]
    return bare[0] if isinstance(bare, tuple) else bare


def description(network: Any, values: dict[str, Any]) -> str:
    """What was built and what was left out, for a profile's note."""
    text = f"architecture only, no weights: transformers {type(network).__name__}"
    dtype = str(network.dtype).removeprefix("torch.")
    if "quantization_config" in values:
        return f"{text}; quantization_config left out, weights counted as {dtype}"
    return text


@dataclass(frozen=True)
class Prepared:
    """A network that takes tensors by position, and what they are."""

    module: nn.Module
    shapes: Shapes
    dtypes: dict[str, str]


def prepared(network: Any, given: Shapes, batch: int | None = None) -> Prepared:
    """Make the network ready to be traced; it is changed.

    Parameters
    ----------
    network : transformers.PreTrainedModel
    given : dict of str to tuple of int
        Input shapes by transformers' names; ``past_tokens`` as told above.
    batch : int, optional
        Replaces dimension 0 of every input.

    Raises
    ------
    BadInputError
        An input has no default shape, or a cache is asked for where none is known.
    """
    past = given.get(PAST_TOKENS, ())
    if past and len(past) != 1:
        raise BadInputError(f"{PAST_TOKENS}: found {past}; give one number, such as 1024")
    shapes = input_shapes(network, given, batch)
    main = shapes[network.main_input_name]
    dtypes = {name: str(input_dtype(name, network)).removeprefix("torch.") for name in shapes}
    module = with_inputs(network, tuple(shapes), sum(past), main[0] if main else 1)
    return Prepared(module, shapes, dtypes)


def input_shapes(network: Any, given: Shapes, batch: int | None) -> Shapes:
    """Shapes of the inputs that the network runs with; what is given goes first.

    Raises
    ------
    BadInputError
        An input has no default.
    """
    config = network.config
    shapes = {name: shape for name, shape in given.items() if name != PAST_TOKENS}
    main = network.main_input_name
    wanted = [main]
    if "input_ids" in (main, *shapes) and config.is_encoder_decoder:
        wanted.append("decoder_input_ids")
    if main == "input_ids" and hasattr(config, "vision_config"):
        wanted.append("pixel_values")
    for name in wanted:
        if name not in shapes:
            shapes[name] = _default_shape(name, config)
    if batch is not None:
        shapes = {name: (batch, *shape[1:]) for name, shape in shapes.items()}
    return shapes


def _default_shape(name: str, config: Any) -> tuple[int, ...]:
    if name.endswith("input_ids"):
        most = getattr(config.get_text_config(), "max_position_embeddings", None)
        return (1, min(DEFAULT_TOKENS, most or DEFAULT_TOKENS))
    if name == "pixel_values":
        vision = getattr(config, "vision_config", config)
        size = getattr(vision, "image_size", None) or DEFAULT_IMAGE_SIZE
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        return (1, getattr(vision, "num_channels", 3), height, width)
    raise BadInputError(f"input {name!r} has no default shape: give --input-shape {name}=1,...")


def input_dtype(name: str, network: Any) -> torch.dtype:
    """Token ids, positions and masks are integers; the rest is of the network's own type."""
    if name.endswith(("_ids", "_mask")):
        return torch.int64
    dtype: torch.dtype = network.dtype
    return dtype


def with_inputs(network: Any, names: tuple[str, ...], past_tokens: int = 0, batch: int = 1) -> Any:
    """Make the network take its named inputs by position, behind a cache that is already filled.

    The cache is state of the network, as weights are: keys and values of ``past_tokens`` tokens
    per layer, in buffers, so that they count as memory and cross no link.

    Raises
    ------
    BadInputError
        The configuration does not say how large a cache is.
    """
    base: Any = type(network)
    layers = _register_cache(network, past_tokens, batch) if past_tokens else 0

    def forward(self: Any, *tensors: Tensor) -> Any:
        arguments: dict[str, Any] = dict(zip(names, tensors, strict=True))
        if layers:
            filled = [
                (getattr(self, f"past_key_{index}"), getattr(self, f"past_value_{index}"))
                for index in range(layers)
            ]
            arguments["past_key_values"] = transformers.DynamicCache(filled, config=self.config)
        output = base.forward(self, **arguments)
        found = output.values() if isinstance(output, dict) else output
        return tuple(value for value in found if isinstance(value, Tensor))

    network.__class__ = type(base.__name__, (base,), {"forward": forward})
    return network


def _register_cache(network: Any, past_tokens: int, batch: int) -> int:
    config = network.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or getattr(
        config, "num_attention_heads", None
    )
    layers = getattr(config, "num_hidden_layers", None)
    if not heads or not layers:
        raise BadInputError(f"{PAST_TOKENS}: the configuration names no layers or heads")
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    for index in range(layers):
        for kind in ("key", "value"):
            shape = (batch, heads, past_tokens, size)
            tensor = torch.zeros(shape, dtype=network.dtype, device=network.device)
            network.register_buffer(f"past_{kind}_{index}", tensor)
    return int(layers)
