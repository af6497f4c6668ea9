"""What a network keeps of earlier tokens: it fills it itself, and buffers hold it from then on.

So keys and values, latent ones, windows of them and the states of recurrent networks all have the
form that the network gives them.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from planner.errors import BadInputError

PAST_TOKENS = "past_tokens"
"""Stands among the input shapes for the tokens that were read before: ``(1024,)``."""
_ARGUMENTS = ("past_key_values", "cache_params", "mems", "state")
"""What networks call it, among their outputs and their arguments."""
_STATE_TOKENS = 64  # a state is as large after many tokens as after these

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Held:
    """A tensor that a buffer of that name holds."""

    name: str


@dataclass(frozen=True)
class Past:
    """An argument of a network with names of buffers where tensors were."""

    argument: str
    value: Any

    def given(self, network: Any) -> dict[str, Any]:
        """The argument, with the buffers' tensors in copies of all that holds them."""

        def found(leaf: Any, _: str) -> Any:
            return getattr(network, leaf.name) if isinstance(leaf, _Held) else leaf

        return {self.argument: _mapped(self.value, found, "past"), "use_cache": True}


def filled(network: Any, tokens: int, shapes: Shapes) -> Past:
    """Let a network read some tokens and put what it keeps of them into buffers.

    Parameters
    ----------
    network : transformers.PreTrainedModel
        On any device; it gets the buffers there, with zeros. Nothing of it is really run.
    tokens : int
    shapes : dict of str to tuple of int
        Of the inputs with which it runs afterwards.

    Raises
    ------
    BadInputError
        It keeps nothing, or cannot read them.
    """
    config = network.config
    if not hasattr(config.get_text_config(), "num_attention_heads"):
        tokens = min(tokens, _STATE_TOKENS)
    name = "decoder_input_ids" if config.is_encoder_decoder else "input_ids"
    inputs = {key: shapes[key] for key in ("input_ids",) if key in shapes}
    inputs[name] = (next(iter(shapes.values()), (1,))[0], tokens)
    if "use_cache" not in inspect.signature(network.forward).parameters:
        raise BadInputError(f"{PAST_TOKENS}: the network keeps nothing of earlier tokens")
    try:
        with (
            torch.no_grad(),
            FakeTensorMode(allow_non_fake_inputs=True),
            torch.device(network.device),
            _plain_experts(network),
        ):
            tokens_read = {
                key: torch.zeros(shape, dtype=torch.int64) for key, shape in inputs.items()
            }
            output = network(**tokens_read, use_cache=True)
    except Exception as error:  # whatever transformers' code raises
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInputError(f"{PAST_TOKENS}: the network cannot read them: {reason}") from error
    for argument in _ARGUMENTS:
        if (kept := output.get(argument)) is not None:
            return Past(
                argument, _mapped(kept, lambda leaf, path: _hold(network, leaf, path), "past")
            )
    raise BadInputError(f"{PAST_TOKENS}: the network keeps nothing of earlier tokens")


@contextmanager
def _plain_experts(network: Any) -> Iterator[None]:
    """Let experts run as products that meta tensors have."""
    if not network._can_set_experts_implementation():
        yield
        return
    before = network.get_experts_implementation()
    network.set_experts_implementation("batched_mm")
    try:
        yield
    finally:
        network.set_experts_implementation(before)


def _hold(network: Any, leaf: Any, path: str) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    zeros = torch.zeros(tuple(leaf.shape), dtype=leaf.dtype, device=network.device)
    network.register_buffer(path, zeros)
    return _Held(path)


def _mapped(value: Any, leaf: Callable[[Any, str], Any], path: str) -> Any:
    """A copy of nested containers and transformers' objects with every leaf replaced."""

    def inner(part: Any, name: object) -> Any:
        return _mapped(part, leaf, f"{path}_{name}")

    if isinstance(value, dict):
        return {key: inner(part, key) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(inner(part, number) for number, part in enumerate(value))
    if type(value).__module__.startswith("transformers.") and hasattr(value, "layers"):
        return _object(value, inner)
    if type(value).__module__ == "transformers.cache_utils":
        return _object(value, inner)
    return leaf(value, path)


def _object(value: Any, inner: Callable[[Any, object], Any]) -> Any:
    made = copy.copy(value)
    made.__dict__.update({name: inner(part, name) for name, part in vars(value).items()})
    return made
