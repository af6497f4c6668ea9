"""Numbers of a configuration in the types that transformers' classes declare for them."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import transformers

_SPECIAL = ("Infinity", "-Infinity", "NaN")


def with_declared_types(config_class: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The values with whole numbers as floats where a field takes floats alone.

    transformers holds every field against its declared type and refuses ``"mlp_ratio": 4``, as
    many files have it; JSON has one type of number, and so has the reader of documents. Infinity
    is ``{"__float__": "Infinity"}``, as transformers writes it.
    """
    declared = {field.name: field.type for field in _fields(config_class)}
    parts = getattr(config_class, "sub_configs", {})
    made = {}
    for key, value in values.items():
        part = _class_of(parts.get(key), value)
        if part is not None:
            made[key] = with_declared_types(part, value)
        else:
            made[key] = _typed(value, declared.get(key))
    return made


def _fields(config_class: Any) -> tuple[Any, ...]:
    return dataclasses.fields(config_class) if dataclasses.is_dataclass(config_class) else ()


def _class_of(part: Any, value: Any) -> Any:
    """The class of a configuration inside another; None where it is none or nothing says which.

    Where the class around it does not say, the part names its own type.
    """
    if not isinstance(value, dict):
        return None
    if part is not None and part is not transformers.AutoConfig:
        return part
    name = str(value.get("model_type"))
    if name not in transformers.CONFIG_MAPPING:
        return None
    return transformers.CONFIG_MAPPING[name]  # its get() looks into another table


def _typed(value: Any, declared: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"__float__"} and value["__float__"] in _SPECIAL:
        return float(value["__float__"])
    kinds = _kinds(declared)
    if type(value) is int and float in kinds and int not in kinds:
        return float(value)
    if isinstance(value, list):
        for kind in kinds:
            items = [arg for arg in typing.get_args(kind) if arg is not Ellipsis]
            if typing.get_origin(kind) in (list, tuple) and items:
                return [_typed(item, items[0]) for item in value]
    return value


def _kinds(declared: Any) -> tuple[Any, ...]:
    """The members of a union; the type itself where it is none."""
    is_union = typing.get_origin(declared) in (typing.Union, types.UnionType)
    return typing.get_args(declared) if is_union else (declared,)
