"""Under which names the weight of a profile's layer may be stored."""

from __future__ import annotations

from collections.abc import Iterator


def candidates(layer: str) -> Iterator[str]:
    """Names of the weight, the likeliest first.

    A torch module's layer is called by the module's path, with ``:op`` behind it where the
    module has several operators: ``attn.c_attn:linear`` has the weight ``attn.c_attn.weight``.
    """
    while layer:
        yield f"{layer}.weight"
        layer = layer.rpartition(":")[0]
