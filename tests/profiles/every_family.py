"""Every model type that transformers has, as a small configuration, held against torch's counter.

A family is *right* where the profile's multiply-accumulates and those that it says to have left out
are the ones that torch's FlopCounterMode sees in one run of the same network.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from planner.errors import BadInputError
from profiles.from_hf import network as hf
from profiles.from_hf.config import read_config
from profiles.from_hf.profiled import profile_values
from tests.profiles.small_configs import said_to_be_left_out

Config = dict[str, Any]

_LAYERS = re.compile(r"(?<!vq_)(num_.*layers|n_layers?|layers|depth|num_.*blocks|n_blocks)$")
_EXPERTS = re.compile(r"^(num_experts|num_local_experts|n_routed_experts|moe_num_experts)$")
_TAKEN = re.compile(r"^(num_experts_per_tok|moe_topk|moe_top_k|moe_k|top_k_experts)$")
_UNSEEN = re.compile(r"(lstm|gru|rnn|fft|stft|istft)(_|$)")
"""Operators that torch's counter does not count."""
_MOST_RUN = 3 * 10**8  # weights of a network that is run on numbers


@dataclass(frozen=True)
class Verdict:
    """What became of a family.

    Attributes
    ----------
    kind : str
        ``right``, ``other`` (another number than torch's), ``unchecked`` (torch cannot run it),
        ``refused`` (one line), ``broken`` (any other exception) or ``none`` (transformers itself
        makes no network of its default configuration).
    """

    model_type: str
    kind: str
    said: str = ""
    macs: int = 0
    seen: int = 0


def model_types() -> list[str]:
    """All of them, in the order of their names."""
    return sorted(CONFIG_MAPPING_NAMES)


def small(model_type: str) -> Config:
    """The default configuration with two layers of each kind and few experts."""
    return shrunk(default(model_type))


def default(model_type: str) -> Config:
    """The default configuration as a file has it."""
    config = transformers.CONFIG_MAPPING[model_type]()
    values: Config = json.loads(config.to_json_string(use_diff=False))
    for key in ("transformers_version", "architectures", "_name_or_path"):
        values.pop(key, None)
    if (head := _head(config)) is not None:
        values["architectures"] = [head]
    return {**values, "model_type": model_type}


def _head(config: Any) -> str | None:
    """A class to build where there is no bare model of the type."""
    if type(config) in transformers.MODEL_MAPPING:
        return None
    listed = (names.get(config.model_type) for names in hf._class_names())
    return next((n if isinstance(n, str) else n[0] for n in listed if n), None)


def shrunk(values: Any) -> Any:
    """Two layers of each kind, with what lists them; eight experts, of which a token takes two."""
    if isinstance(values, list):
        return [shrunk(item) for item in values]
    if not isinstance(values, dict):
        return values
    counts = {v for k, v in values.items() if _LAYERS.search(k) and type(v) is int and v > 2}
    made = {}
    for key, value in values.items():
        if type(value) is int and _LAYERS.search(key):
            value = min(value, 2)
        elif type(value) is int and _EXPERTS.search(key):
            value = min(value, 8)
        elif type(value) is int and _TAKEN.search(key):
            value = min(value, 2)
        elif key in ("n_group", "topk_group") and type(value) is int:
            value = 1
        elif key == "depths" and isinstance(value, list):
            value = [min(n, 2) if type(n) is int else n for n in value]
        elif isinstance(value, list) and len(value) in counts and "layer" in key:
            value = value[:2]
        else:
            value = shrunk(value)
        made[key] = value
    return made


def judged(model_type: str) -> Verdict:
    """What the loader makes of a family."""
    try:
        values = default(model_type)
    except Exception as error:  # whatever a configuration class asks for
        return Verdict(model_type, "none", _line(error))
    said = ""
    for candidate in (shrunk(values), values):
        try:
            checked = read_config(json.dumps(candidate).encode())
            hf.build_network(checked)
        except BadInputError as error:
            said = _line(error)
            continue
        except Exception as error:
            return Verdict(model_type, "broken", f"built: {_line(error)}")
        return _held(model_type, checked)
    return Verdict(model_type, "none", said)


def _held(model_type: str, values: Config) -> Verdict:
    request = {"name": model_type, "input_shapes": {}, "batch": None, "input_types": {}}
    try:
        profile = profile_values(values, request)
    except BadInputError as error:
        return Verdict(model_type, "refused", _line(error))
    except Exception as error:
        return Verdict(model_type, "broken", f"{type(error).__name__}: {_line(error)}")
    macs = profile.totals.macs + said_to_be_left_out(profile)
    note = f"{profile.coverage.uncounted or ''} {profile.provenance.note}"
    try:
        seen = torch_macs(values, images="texts alone" not in profile.provenance.note)
    except Exception as error:
        return Verdict(model_type, "unchecked", f"{_line(error)} | {note}", macs)
    unseen = sum(layer.macs for layer in profile.layers if _UNSEEN.match(layer.op))
    kind = "right" if profile.totals.macs <= seen + unseen <= macs else "other"
    return Verdict(model_type, kind, note, macs, seen)


def torch_macs(values: Config, *, images: bool = True) -> int:
    """FlopCounterMode's count of one run: without numbers where that goes, else on zeros."""
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return _run(hf.prepared(hf.build_network(values, "cpu"), {}, images=images))
    except Exception:
        network = hf.build_network(values)
        if sum(p.numel() for p in network.parameters()) > _MOST_RUN:
            raise
        return _run(hf.prepared(hf.build_network(values, "cpu"), {}, images=images))


def _run(made: hf.Prepared) -> int:
    module: Any = made.module.requires_grad_(False)
    if module._can_set_experts_implementation():
        module.set_experts_implementation("batched_mm")  # torch's counter knows no grouped products
    inputs = [
        torch.zeros(shape, dtype=getattr(torch, made.dtypes[name]))
        for name, shape in made.shapes.items()
    ]
    # Networks that solve systems of equations write them as products where they are exported.
    exporting = mock.patch.object(torch.compiler, "_is_exporting_flag", True)
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter, torch.no_grad(), exporting:
        module(*inputs)
    return counter.get_total_flops() // 2


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__
