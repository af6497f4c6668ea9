"""The models of docs/measured.md: one step of decoding, traced from a configuration.

Three blocks are traced and the middle one is repeated, which gives the profile of the whole network
in a tenth of the time; a test holds one against the other.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported

from measured_rows import Row

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.quantise import with_weight_bits
from profiles.from_hf.network import PAST_TOKENS, build_network, prepared
from profiles.from_torch.frontend import profile_module

_DEPTHS = ("num_hidden_layers", "n_layer")
_TRACED = 3
_BLOCK = re.compile(r"^((?:model\.layers|transformer\.h)\.)(\d+)(.*)$")


def decoding(row: Row) -> ModelProfile:
    """One token of each sample of a row's batch, behind the row's cache."""
    (depth,) = (key for key in _DEPTHS if key in row.config)
    traced = trace({**row.config, depth: _TRACED}, row)
    return fitted(deepened(traced, row.config[depth]), row)


def trace(config: dict[str, object], row: Row) -> ModelProfile:
    """The profile of a configuration with the row's inputs."""
    shapes = {"input_ids": (row.batch, 1), PAST_TOKENS: (row.past_tokens,)}
    network = prepared(build_network(dict(config)), shapes)
    return profile_module(
        network.module,
        network.shapes,
        dtypes=network.dtypes,
        name=row.name,
        source="a configuration of scripts/measured_rows.py",
        witness=False,
        open_sizes="none",
        open_seconds=math.inf,
    )


def fitted(profile: ModelProfile, row: Row) -> ModelProfile:
    """A profile as the row's runtime has it: cache in place, width of weights."""
    layers = gathered_once(cache_in_place(profile.layers))
    return with_weight_bits(_with_layers(profile, layers), row.weight_bits)


def _with_layers(profile: ModelProfile, layers: Iterable[LayerProfile]) -> ModelProfile:
    return ModelProfile(
        name=profile.name,
        element_bytes=profile.element_bytes,
        inputs=profile.inputs,
        outputs=profile.outputs,
        layers=tuple(layers),
        provenance=profile.provenance,
    )


def deepened(profile: ModelProfile, blocks: int) -> ModelProfile:
    """Three blocks as so many: the middle one repeated, the last one at the end."""
    of_block: dict[int | None, list[LayerProfile]] = {None: []}
    behind: list[LayerProfile] = []
    for layer in profile.layers:
        found = _BLOCK.match(layer.name)
        number = int(found[2]) if found else None
        if number is None and len(of_block) > 1:
            behind.append(layer)
        else:
            of_block.setdefault(number, []).append(layer)
    layers = [*of_block[None], *of_block[0]]
    for at in range(1, blocks - 1):
        layers += [_moved(layer, at - 1) for layer in of_block[1]]
    layers += [_moved(layer, blocks - _TRACED) for layer in (*of_block[2], *behind)]
    return _with_layers(profile, layers)


def _moved(layer: LayerProfile, by: int) -> LayerProfile:
    def name(old: str) -> str:
        return _BLOCK.sub(lambda found: f"{found[1]}{int(found[2]) + by}{found[3]}", old)

    return layer.model_copy(
        update={
            "name": name(layer.name),
            "inputs": tuple(map(name, layer.inputs)),
            "shared_bytes": {name(other): size for other, size in layer.shared_bytes.items()},
        }
    )


def cache_in_place(layers: Iterable[LayerProfile]) -> list[LayerProfile]:
    """Let attention read the cache, once; tracing has it copied behind the new keys and values.

    Every runtime here appends to a cache that stays where it is.
    """
    cached: dict[str, int] = {}
    found = []
    for layer in layers:
        held = sum(cached.get(name, 0) for name in layer.inputs)
        if layer.op == "concat" and layer.param_bytes:
            cached[layer.name] = layer.param_bytes
            layer = layer.model_copy(update={"op": "alias", "param_bytes": 0})
        elif held and layer.kind == "attention":
            layer = layer.model_copy(update={"param_bytes": layer.param_bytes + held})
        elif held:  # a view on the way
            cached[layer.name] = held
        found.append(layer)
    return found


def gathered_once(layers: Iterable[LayerProfile]) -> list[LayerProfile]:
    """Put a view behind a matrix that makes q, k and v, where all three can be gathered at once.

    What is brought to one node serves one layer: each of three slices would be sent all of it.
    """
    found: list[LayerProfile] = []
    instead: dict[str, str] = {}
    for layer in layers:
        inputs = tuple(instead.get(name, name) for name in layer.inputs)
        found.append(layer.model_copy(update={"inputs": inputs}))
        if layer.name.endswith("qkv_proj"):
            instead[layer.name] = f"{layer.name}:view"
            found.append(_view_of(layer, instead[layer.name]))
    return found


def _view_of(layer: LayerProfile, name: str) -> LayerProfile:
    nothing = dict.fromkeys(("macs", "params", "weight_params", "param_bytes"), 0)
    return layer.model_copy(
        update={
            **nothing,
            "name": name,
            "op": "alias",
            "inputs": (layer.name,),
            "feature_flow": "local",
            "in_features": layer.out_features,
            "elements_per_feature": layer.output_elements_per_feature,
            "input_bytes": layer.output_bytes,
            "granularity": 1,
            "segments": 1,
        }
    )
